// textual.js takes no keys before somebody clicks, and says that nobody looks. The first thing that
// is drawn shows that both ends are there.
new MutationObserver((_, observer) => {
  if (document.body.classList.contains("-first-byte")) {
    observer.disconnect();
    document.querySelector(".xterm-helper-textarea").focus();
  }
}).observe(document.body, { attributes: true, attributeFilter: ["class"] });
