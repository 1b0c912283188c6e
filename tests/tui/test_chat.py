"""The scratch chat: streamed, stopped, measured, recalled."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown

from localllm.errors import ModelNotFound
from localllm.tui.screens.chat import Chat
from localllm.tui.widgets.answer import Answer
from localllm.tui.widgets.prompt import Prompt
from tests.fakes import scripted_answers
from tests.fakes.a_screen import app_for, shown, until, until_shown
from tests.fakes.scene import Scene
from tests.fakes.scripted_daemon import ScriptedDaemon

pytestmark = pytest.mark.anyio


async def opened(pilot: Pilot[None], scene: Scene) -> Chat:
    await pilot.press("5")
    await until_shown(pilot, f"with {scene.models[0].view.id}")
    screen = pilot.app.screen
    assert isinstance(screen, Chat)
    return screen


def bodies(scene: Scene) -> list[dict]:
    return [asked.body for asked in scene.asked if asked.verb == "chat"]


async def test_an_answer_comes_with_its_tokens_its_speed_and_its_first_token(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, scene)

        await pilot.press(*"hi", "enter")

        await until_shown(pilot, "> hi", "Hello from here.", "4 tokens", "first after")
        await until(pilot, lambda: "about" not in shown(pilot), "the engine's own count")

    [body] = bodies(scene)
    assert body["model"] == scene.models[0].view.id
    assert body["messages"] == [{"role": "user", "content": "hi"}]


async def test_the_answer_is_drawn_while_it_comes_as_markdown(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.answer = None
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, scene)
        await pilot.press("x", "enter")

        scene.say("# A title\n\nSome ")
        await until_shown(pilot, "A title", "Some")
        assert "# A title" not in shown(pilot)
        scene.say("**bold** words")
        await until_shown(pilot, "Some bold words")
        scene.finish()
        await until_shown(pilot, "2 tokens")


async def test_the_next_message_carries_what_was_said_before(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        await pilot.press("a", "enter")
        await until(pilot, lambda: len(chat._turns) == 2, "an answer")
        await pilot.press("b", "enter")
        await until(pilot, lambda: len(chat._turns) == 4, "another one")

    said = [turn["content"] for turn in bodies(scene)[1]["messages"]]
    assert said == ["a", "Hello from here.", "b"]


async def test_escape_stops_the_answer_and_closes_its_connection(
    daemon: ScriptedDaemon, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.answer = None
    gone: list[bool] = []
    stream = scripted_answers.Answers._stream

    def watched(self, kind, pieces):
        try:
            stream(self, kind, pieces)
        except OSError:
            gone.append("chat" in self.path)
            raise

    monkeypatch.setattr(scripted_answers.Answers, "_stream", watched)
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        await pilot.press("x", "enter")
        scene.say("It was a dark")
        await until_shown(pilot, "It was a dark")

        await pilot.press("escape")
        await until_shown(pilot, "stopped")
        assert [turn.content for turn in chat._turns] == ["x", "It was a dark"]

        def is_gone() -> bool:
            scene.say(" night")
            return True in gone

        await until(pilot, is_gone, "that the daemon is cut off")
        assert "night" not in shown(pilot)


async def test_escape_without_an_answer_leaves_the_field_and_i_goes_back(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        prompt = chat.query_one(Prompt)
        assert prompt.has_focus

        await pilot.press("escape")
        assert not prompt.has_focus
        await pilot.press("i")
        assert prompt.has_focus
        await pilot.press("escape", "4")
        await until(pilot, lambda: pilot.app.current_mode == "logs", "another screen")


async def test_keys_of_other_screens_are_letters_in_the_field(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)

        await pilot.press(*"q1s/i?", "ctrl+j", "x")

        assert chat.query_one(Prompt).text == "q1s/i?\nx"


async def test_up_brings_back_what_was_sent_and_down_what_was_begun(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        prompt = chat.query_one(Prompt)
        for count, key in ((2, "a"), (4, "b")):
            await pilot.press(key, "enter")
            await until(pilot, lambda count=count: len(chat._turns) == count, "an answer")
        await pilot.press(*"draft")

        seen = []
        for key in ("up", "up", "up", "down", "down", "down"):
            await pilot.press(key)
            seen.append(prompt.text)

        assert seen == ["b", "a", "a", "b", "draft", "draft"]


async def test_ctrl_n_forgets_all_and_stops_what_comes(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.answer = None
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        await pilot.press("x", "enter")
        scene.say("secret")
        await until_shown(pilot, "secret")

        await pilot.press("ctrl+n")

        await until_shown(pilot, "Nothing of it is kept")
        assert "secret" not in shown(pilot)
        assert chat._turns == []
        scene.answer = ["fresh"]
        await pilot.press("y", "enter")
        await until_shown(pilot, "fresh")
    assert [turn["content"] for turn in bodies(scene)[-1]["messages"]] == ["y"]


async def test_a_second_message_waits_until_the_answer_is_there(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.answer = None
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        chat = await opened(pilot, scene)
        await pilot.press("x", "enter")
        await until_shown(pilot, "waiting for the first token")

        await pilot.press("y", "enter")

        await until_shown(pilot, "an answer is on its way")
        assert chat.query_one(Prompt).text == "y"
    assert len(bodies(scene)) == 1


async def test_an_error_stands_in_the_place_of_the_answer_and_the_message_may_be_sent_again(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.refusals["chat"] = ModelNotFound("It is gone.", why="somebody stopped it", fix="up it")
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        await pilot.press("x", "enter")
        await until_shown(pilot, "It is gone.", "why: somebody stopped it", "next: up it")
        assert chat._turns == []

        scene.refusals.clear()
        await pilot.press("up", "enter")
        await until_shown(pilot, "Hello from here.")


@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_with_nothing_served_it_says_how_to_begin(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await until_shown(pilot, "Nothing is served yet")

        await pilot.press("x", "enter")

    assert not bodies(scene)


async def test_ctrl_t_chats_with_the_next_model(daemon: ScriptedDaemon, scene: Scene) -> None:
    first = scene.models[0]
    view = msgspec.structs.replace(first.view, id="gemma", instance="gemma:1", current=False)
    scene.models = [first, msgspec.structs.replace(first, view=view)]
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, scene)

        await pilot.press("ctrl+t")
        await until_shown(pilot, "with gemma")
        await pilot.press("x", "enter")
        await until_shown(pilot, "Hello from here.")

    assert bodies(scene)[0]["model"] == "gemma"


async def test_what_a_model_says_cannot_do_anything_to_the_screen(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.answer = ["a\x1b[2J\x1b]0;t\x07 [red]b[/red] ", "\u202ec \x9b1m [d](http://x.y)"]
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        chat = await opened(pilot, scene)
        chat.query_one(Prompt).text = "\x1b[31m [b]me"
        await pilot.press("enter")

        await until_shown(pilot, "> ?[31m [b]me", "a?[2J?]0;t? [red]b[/red] ?c ?1m d")

        assert not {"\x1b", "\u202e", "\x9b", "\x07"} & set(shown(pilot))
        chat.query_one(Markdown).post_message(
            Markdown.LinkClicked(chat.query_one(Markdown), "http://x.y/\x1b[31m")
        )
        await until_shown(pilot, "this link leads to", "http://x.y/?[31m")


async def test_what_it_thinks_is_shown_apart(
    daemon: ScriptedDaemon, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def events(model, pieces):
        for name, text in (("reasoning_content", "let me see"), ("content", "42")):
            yield scripted_answers._chat_event(model, {name: text}, None)

    monkeypatch.setattr(scripted_answers, "_chat_events", events)
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)

        await pilot.press("x", "enter")

        await until_shown(pilot, "thinking: let me see", "42", "about 2 tokens")
        await until(pilot, lambda: len(chat._turns) == 2, "the end")
        assert chat._turns[1].content == "42"


async def test_two_messages_at_once_are_one_and_the_second_stays_in_the_field(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.answer = None
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        chat = await opened(pilot, scene)

        await asyncio.gather(*(chat.on_prompt_sent(Prompt.Sent(text)) for text in "ab"))

        await until_shown(pilot, "> a", "an answer is on its way")
        assert [turn.content for turn in chat._turns] == ["a"]
        await until(pilot, lambda: bodies(scene), "the question")
    assert len(bodies(scene)) == 1


async def test_what_is_forgotten_before_it_is_there_is_not_asked(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)

        await asyncio.gather(chat.on_prompt_sent(Prompt.Sent("a")), chat.action_new())

        await until_shown(pilot, "Nothing of it is kept")
        assert (chat._turns, list(chat.query(Answer))) == ([], [])
        assert not chat._timer._active.is_set()  # nothing is waited for
    assert not bodies(scene)


async def test_an_answer_that_is_forgotten_while_it_is_drawn_leaves_nothing_behind(
    daemon: ScriptedDaemon, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.answer = None
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        chat = await opened(pilot, scene)
        add = Answer.add

        async def forgotten(self: Answer, said: str, thought: str) -> None:
            if said:
                await chat.action_new()
            await add(self, said, thought)

        monkeypatch.setattr(Answer, "add", forgotten)
        await pilot.press("x", "enter")
        await until_shown(pilot, "waiting for the first token")
        scene.say("late")

        await until_shown(pilot, "Nothing of it is kept")
        assert (chat._turns, list(chat.query(Answer))) == ([], [])


async def test_an_error_in_the_middle_stands_below_what_had_come(
    daemon: ScriptedDaemon, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def events(model, pieces):
        yield scripted_answers._chat_event(model, {"content": "so far"}, None)
        error = {"error": {"message": "The engine died.\nkilled by signal 9"}}
        yield f"data: {json.dumps(error)}\n\n"

    monkeypatch.setattr(scripted_answers, "_chat_events", events)
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, scene)

        await pilot.press("x", "enter")

        await until_shown(pilot, "so far", "The engine died.", "why: killed by signal 9", "next: ")
        lines = shown(pilot).splitlines()
        [said] = [n for n, line in enumerate(lines) if "so far" in line]
        [failed] = [n for n, line in enumerate(lines) if "The engine died." in line]
        assert said < failed


async def test_tags_are_shown_as_written_and_entities_cannot_turn_a_line_around(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.answer = ["a &lt;b&gt; &#8238;c &#27;[2J <div> x\n\n<think>\nhm\n</think>\n\nend"]
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, scene)

        await pilot.press("x", "enter")

        await until_shown(pilot, "a <b> ?c", "[2J <div> x", "<think> hm </think>", "end")
        assert not {"\x1b", "\u202e"} & set(shown(pilot))
