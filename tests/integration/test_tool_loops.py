"""The official agent libraries close the loop of tools: one file is read, another one written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import agents
import anthropic
import openai
import pytest

from tests.fakes import scripted_engine
from tests.fakes.house import House, a_house
from tests.fakes.scripted_engine import secret, task

pytestmark = pytest.mark.anyio

Models = Callable[[openai.AsyncOpenAI], agents.Model]
MODELS: dict[str, Models] = {
    "chat": lambda client: agents.OpenAIChatCompletionsModel("small", client),
    "responses": lambda client: agents.OpenAIResponsesModel("small", client),
}


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.house.FAKE", Path(scripted_engine.__file__))
    agents.set_tracing_disabled(disabled=True)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """What is to be read, and what is to be written."""
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text(f"It says {secret(7)}.\n")
    return source, target


def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


def write_file(path: str, content: str) -> str:
    """Write a file."""
    Path(path).write_text(content)
    return "written"


@pytest.mark.parametrize("api", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_openais_agents_close_the_loop(
    api: str, streamed: bool, files: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = files
    async with a_house(tmp_path) as house:
        await house.ready()
        url = f"http://127.0.0.1:{house.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            agent = agents.Agent(
                name="writer",
                model=MODELS[api](client),
                tools=[agents.function_tool(read_file), agents.function_tool(write_file)],
            )
            if streamed:
                run = agents.Runner.run_streamed(agent, task(source, target))
                async for _ in run.stream_events():
                    pass
                said = run.final_output
            else:
                said = (await agents.Runner.run(agent, task(source, target))).final_output

    assert secret(7).upper() in target.read_text()
    assert said == scripted_engine.DONE


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_anthropics_tool_runner_closes_the_loop(
    streamed: bool, files: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = files

    @anthropic.beta_async_tool
    async def read_file(path: str) -> str:
        """Read a file."""
        return Path(path).read_text()

    @anthropic.beta_async_tool
    async def write_file(path: str, content: str) -> str:
        """Write a file."""
        Path(path).write_text(content)
        return "written"

    async with a_house(tmp_path) as house:
        await house.ready()
        async with claude(house) as client:
            runner = client.beta.messages.tool_runner(
                model="small",
                max_tokens=1000,
                tools=[read_file, write_file],
                messages=[{"role": "user", "content": task(source, target)}],
                stream=streamed,
            )
            last = await runner.until_done()

    assert secret(7).upper() in target.read_text()
    assert last.content[-1].text == scripted_engine.DONE


def claude(house: House) -> anthropic.AsyncAnthropic:
    url = f"http://127.0.0.1:{house.port}"
    return anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0)
