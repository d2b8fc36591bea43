"""Pages and their folder: every number leads on, every link arrives, nothing foreign is code, and no other folder is touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

import pytest

from benchmark import cli
from benchmark.errors import UsageError
from benchmark.records import RunRecord
from benchmark.site import columns, pages, serve, write
from benchmark.store import Store
from tests.e2e.test_start_up import BLOCK
from tests.site_records import HOSTILE, SCRIPT, hostile, on_board, record, study

pytest.importorskip("jinja2")


class Page(HTMLParser):
    """What a browser makes of a page: its tags with their attributes, its text, its headings, its ids."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data: list[str] = []
        self._script = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag != "script"

    def handle_data(self, data: str) -> None:
        (self.data if self._script else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def values(self, attribute: str, tag: str = "") -> list[str]:
        return [value for name, found in self.tags if tag in ("", name) and (value := found.get(attribute)) is not None]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages.site([on_board(study())], {"wine": "wine.png"})


@pytest.fixture(scope="module")
def foreign() -> dict[str, str]:
    return pages.site([on_board(hostile()), on_board(study())], {})


def test_there_is_a_page_for_everything(made: dict[str, str]) -> None:
    entrants = {"single-task", "equal", "gradnorm-alpha-0-12", "broken"}
    wanted = {"index.html", "problems/digits.html", "problems/wine.html"} | {f"methods/{each}.html" for each in entrants}
    assert set(made) == wanted | {f"runs/{each}--{problem}.html" for each in entrants for problem in ("digits", "wine")}


@pytest.mark.parametrize("which", ["made", "foreign"])
def test_every_link_arrives_and_none_leaves(which: str, request: pytest.FixtureRequest) -> None:
    found: dict[str, str] = request.getfixturevalue(which)
    assets = {"assets/plotly.min.js", "pictures/wine.png"} | {f"assets/{path.name}" for path in write.ASSETS.iterdir()}
    ids = {path: set(Page(text).values("id")) for path, text in found.items()}
    count = 0
    for path, text in found.items():
        page = Page(text)
        for link in [*page.values("href"), *page.values("src")]:
            if link == "data:,":
                continue
            parts = urlsplit(link)
            assert not parts.scheme, link
            assert not parts.netloc, link
            target = normpath(join(dirname(path), unquote(parts.path))) if parts.path else path
            assert target in found or target in assets, (path, link)
            assert not parts.fragment or parts.fragment in ids[target], (path, link)
            count += 1
    assert count > 50


def test_every_number_of_the_leaderboard_leads_to_its_records(made: dict[str, str]) -> None:
    index = Page(made["index.html"])
    assert {link for link in index.values("href") if link.startswith("runs/")} == {path for path in made if path.startswith("runs/")}
    board = on_board(study())
    where = pages.places(board, {})
    for column in columns.leaderboard(board, where.runs, where.method):
        for each, cell in zip(board.entrants, column.cells, strict=True):
            leads = cell.href in (where.method(each.name), *(where.runs(each.name, problem) for problem in each.results))
            assert leads or not re.search(r"[1-9]", cell.text), (column.title, cell)
    for each in board.entrants:
        for result in each.results.values():
            page = Page(made[pages.places(board, {}).runs(each.name, result.problem.label)])
            for trial in result.trials:
                assert trial.id in page.text
                assert trial.path in page.text
            assert result.rerun.command in page.text


def test_numbers_stand_with_interval_and_n(made: dict[str, str]) -> None:
    board = on_board(study())
    best = board.entrants[1]
    index, method = (Page(made[path]).text for path in ("index.html", "methods/gradnorm-alpha-0-12.html"))
    delta = best.row.delta_m
    shown = f"{delta.value:+.2f} [{delta.low:.2f}, {delta.high:.2f}]"
    assert best.name == "gradnorm(alpha=0.12)"
    assert shown in index
    assert f"n = {best.row.finished}" in method
    assert "5/6" not in index
    assert "4/6" in index  # two of six runs of the broken one failed
    assert "2 oom" in index


@pytest.mark.parametrize("which", ["made", "foreign"])
def test_pages_are_well_made(which: str, request: pytest.FixtureRequest) -> None:
    found: dict[str, str] = request.getfixturevalue(which)
    for path, text in found.items():
        page = Page(text)
        assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"], path
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert all(after <= before + 1 for before, after in pairwise(levels)), (path, levels)
        ids = page.values("id")
        assert len(ids) == len(set(ids)), path
        for _, attributes in (each for each in page.tags if each[1].get("role") in ("img", "region")):
            assert attributes.get("aria-label"), path
        assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
        assert "skip" in page.values("class", "a")
        for block in page.data:
            if block.strip():
                json.loads(block)


def test_text_from_records_is_text_wherever_it_stands(foreign: dict[str, str]) -> None:
    seen = ""
    for path, text in foreign.items():
        page = Page(text)
        seen += page.text
        for tag, attributes in page.tags:
            assert not any(name.startswith("on") for name in attributes), (path, tag)
            assert tag != "img", path
            if tag == "script":
                assert attributes.get("src") or attributes.get("type") == "application/json"
                assert not str(attributes.get("src") or "").startswith(("http", "//"))
        assert "\u202e" not in text
        assert "49" not in page.values("data-name")
    assert SCRIPT in seen
    assert "{{ 7 * 7 }}" in seen


def test_no_name_leads_out_of_the_folder(foreign: dict[str, str]) -> None:
    for path in foreign:
        assert re.fullmatch(r"(suites/[a-z0-9-]+/)?(index|(methods|problems|runs)/[a-z0-9-]+)\.html", path), path


def test_several_suites_have_a_page_that_leads_to_each(foreign: dict[str, str]) -> None:
    overview = Page(foreign["index.html"])
    links = [link for link in overview.values("href") if link.endswith("/index.html")]
    assert len(links) == 2
    assert "suites/toy/index.html" in links
    deep = next(path for path in foreign if path.startswith("suites/toy/runs/"))
    assert "../../../assets/style.css" in Page(foreign[deep]).values("href")
    assert "../../../index.html" in Page(foreign[deep]).values("href")


def test_a_problem_without_a_picture_says_the_command(made: dict[str, str]) -> None:
    assert "python -m benchmark plot digits --out RESULTS/pictures/digits.png" in Page(made["problems/digits.html"]).text
    assert "../pictures/wine.png" in Page(made["problems/wine.html"]).values("src")


def test_one_method_and_one_seed_are_shown_without_invented_intervals() -> None:
    records = [each for each in study(("wine",), 1) if each.spec.entrant in ("equal", "single_task")]
    index = Page(pages.site([on_board(records)], {})["index.html"]).text
    assert "without an interval" in index
    assert "not every problem has two seeds" in index
    without = [each for each in records if each.spec.entrant == "equal"]
    assert "equal is first" in Page(pages.site([on_board(without)], {})["index.html"]).text


def verdict(records: Sequence[RunRecord]) -> str:
    index = Page(pages.site([on_board(records)], {})["index.html"]).text
    return index.partition(" records ")[2].partition(" Methods ")[0]


def test_the_first_sentence_says_only_what_is_known() -> None:
    records = study()
    known = "gradnorm(alpha=0.12) is first with a Δm of"
    assert verdict(records).startswith(known)
    assert verdict(records).endswith("All others that finished every run can be told apart from it.")  # one did not
    assert verdict([r for r in records if r.spec.entrant != "broken"]).endswith("All others can be told apart from it.")
    alone = verdict([r for r in records if r.spec.entrant.startswith(("gradnorm", "single_task"))])
    assert alone.startswith(known)
    assert "others" not in alone
    without = verdict([r for r in records if r.spec.entrant != "single_task"])
    assert without == "gradnorm(alpha=0.12) is first by mean rank, as its Δm is not known."


def test_numbers_are_those_of_the_leaderboard(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called(["--results", results, "--out", tmp_path / "site"], capsys)
    with pytest.raises(SystemExit):
        cli.main(["leaderboard", "--results", str(results), "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    index = Page((tmp_path / "site" / "index.html").read_text())
    cells = [dict(attributes) for tag, attributes in index.tags if tag in ("tr", "td") and ("data-name" in attributes or tag == "td")]
    shown: dict[str, list[str]] = {}
    for attributes in cells:
        if (name := attributes.get("data-name")) is not None:
            found = shown.setdefault(name, [])
        elif (key := attributes.get("data-key")) is not None:
            found.append(key)
    assert list(shown) == [row["entrant"] for row in rows]
    for row in rows:
        wanted = [row["rank"], row["mean_rank"], row["cost"], row["passes"], row["memory"], row["finished"]]
        if not row["reference"]:
            wanted += [part[name]["value"] for part in (row, *row["cells"].values()) for name in ("delta_m",)]
            wanted += [row["delta_p"]["value"], row["iqm"]["value"]]
        for value in wanted:
            assert value is None or str(float(value)) in shown[row["entrant"]], (row["entrant"], value)


def test_json_in_a_page_cannot_end_its_element() -> None:
    value = {"</script>": ["&", "<!--", float("nan"), "\u2028"]}
    text = str(pages.json_block(value))
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"</script>": ["&", "<!--", None, "\u2028"]}


def test_a_folder_is_replaced_only_if_it_was_made_here(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write.write({"index.html": "one", "methods/a.html": "old"}, out, {})
    write.write({"index.html": "two"}, out, {})
    assert (out / "index.html").read_text() == "two"
    assert not (out / "methods").exists()
    assert (out / "assets" / "plotly.min.js").stat().st_size > 1_000_000
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    mine = tmp_path / "mine"
    mine.mkdir()
    write.write({"index.html": "in an empty folder"}, mine, {})
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("years")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "ours").mkdir()
    write.write({"index.html": "x"}, tmp_path / "ours", {})
    (tmp_path / "ours" / ".git").mkdir()
    for name in ("theirs", "file", "link", "ours", "long" * 100):
        with pytest.raises(UsageError, match=name):
            write.write({"index.html": "x"}, tmp_path / name, {})
    assert (tmp_path / "theirs" / "thesis.tex").read_text() == "years"
    assert (out / "index.html").read_text() == "two"


def test_what_cannot_be_written_leaves_the_old_site(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write.write({"index.html": "old"}, out, {})
    with pytest.raises(UsageError, match="cannot be written"):
        write.write({"index.html": "new"}, out, {"pictures/a.png": tmp_path / "gone.png"})
    assert (out / "index.html").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path / "results")
    for each in study(seeds=2):
        store.save(each)
    return tmp_path / "results"


def test_records_and_site_stay_apart(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "site"
    called(["--results", results, "--out", out], capsys)
    results.rename(out / "runs" / "results")
    inside = out / "runs" / "results"
    before = sorted(inside.rglob("*.json"))
    for folder in (out, inside / "records" / "site", inside / "records"):
        code, _, err = called(["--results", inside, "--out", folder], capsys)
        assert code == 2
        assert len(err.splitlines()) == 1
        assert str(folder) in err
    assert before
    assert sorted(inside.rglob("*.json")) == before
    assert called(["--results", inside, "--out", inside / "site"], capsys)[0] == 0


def test_a_packed_record_is_not_said_to_lie_in_a_file_of_its_own(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["results", "pack", "--results", str(results)])
    capsys.readouterr()
    code, _, err = called(["--results", results, "--out", tmp_path / "site"], capsys)
    assert (code, err) == (0, "")
    text = Page((tmp_path / "site" / "runs" / "equal--wine.html").read_text()).text
    assert text.count("packed; results unpack writes records/toy/wine/equal/") == 2
    assert called(["--results", results, "--out", results / "packed" / "site"], capsys)[0] == 2


def test_an_entrant_whose_records_are_all_of_other_settings_has_a_page() -> None:
    other = [record("moco", 1.0, 0.8, problem="wine", seed=seed, steps=99) for seed in range(3)]
    found = pages.site([on_board([*study(("wine",)), *other])], {})
    assert "moco" in Page(found["methods/moco.html"]).text
    assert not [path for path in found if path.startswith("runs/moco")]


def called(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["site", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(exit_.value.code or 0), shown.out, shown.err


def test_the_command_writes_the_site_with_its_pictures(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "pictures").mkdir()
    (results / "pictures" / "wine.svg").write_text("<svg/>")
    code, out, err = called(["--results", results, "--out", tmp_path / "site"], capsys)
    assert (code, err) == (0, "")
    assert out.split() == [str(tmp_path / "site" / "index.html")]
    assert (tmp_path / "site" / "pictures" / "wine.svg").is_file()
    assert str(tmp_path) not in (tmp_path / "site" / "index.html").read_text()
    assert {path.name for path in (tmp_path / "site" / "assets").iterdir()} == {"app.js", "theme.js", "style.css", "plotly.min.js"}


def test_pictures_are_made_where_there_are_none(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark import plot

    asked: list[str] = []

    def drawn(name: str, *, out: Path, **others: object) -> None:
        asked.append(name)
        if name == "digits":
            raise UsageError("nothing to show")
        out.write_bytes(b"a picture")

    monkeypatch.setattr(plot, "plot", drawn)
    code, _, err = called(["--results", results, "--out", tmp_path / "site", "--pictures"], capsys)
    assert code == 0
    assert asked == ["digits", "wine"]
    assert "warning: no picture of digits: nothing to show" in err
    assert (tmp_path / "site" / "pictures" / "wine.png").read_bytes() == b"a picture"
    called(["--results", results, "--out", tmp_path / "site", "--pictures"], capsys)
    assert asked == ["digits", "wine", "digits"]
    assert "python -m benchmark run --suite" in Page((tmp_path / "site" / "index.html").read_text()).text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--suite", "toyy"], ["toyy", "did you mean 'toy'"]),
        (["--out", "theirs"], ["theirs", "choose a new folder"]),
        (["--port", "many"], ["--port", "many"]),
        (["--port", "65536"], ["--port is 65536", "65535"]),
        (["--results", "nowhere"], ["nowhere", "no records"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_write_nothing(
    arguments: list[str],
    parts: list[str],
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "x").write_text("")
    before = sorted(tmp_path.rglob("*"))
    code, _, err = called([*([] if "--results" in arguments else ["--results", results]), *arguments], capsys)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert all(part in err for part in parts), err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("package", ["jinja2", "plotly"])
def test_a_missing_package_is_named_before_anything_is_written(package: str, results: Path, tmp_path: Path) -> None:
    arguments = ["site", "--results", str(results), "--out", str(tmp_path / "site")]
    program = BLOCK.format(names={package}) + f"from benchmark.cli import main\nmain({arguments!r})"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 2
    assert shown.stderr.splitlines() == [f"error: site needs {package}: pip install 'lossbench[site]'"]
    assert not (tmp_path / "site").exists()


def test_it_is_served_to_this_machine_until_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("here")
    servers: list[serve.ThreadingHTTPServer] = []

    class Server(serve.ThreadingHTTPServer):
        def service_actions(self) -> None:
            if self in stopping:
                raise KeyboardInterrupt

    stopping: list[object] = []
    monkeypatch.setattr(serve, "ThreadingHTTPServer", Server)
    seen: list[str] = []
    ready = threading.Event()

    def heard(address: str) -> None:
        seen.append(address)
        ready.set()

    original = Server.__init__

    def remembered(self: Server, *arguments: object, **named: object) -> None:
        original(self, *arguments, **named)  # type: ignore[arg-type]
        servers.append(self)

    monkeypatch.setattr(Server, "__init__", remembered)
    thread = threading.Thread(target=serve.serve, args=(tmp_path, 0, heard))
    thread.start()
    assert ready.wait(10)
    try:
        assert seen[0].startswith("http://127.0.0.1:")
        with urllib.request.urlopen(seen[0]) as answer:
            assert answer.read() == b"here"
        taken = int(seen[0].rsplit(":", 1)[1].strip("/"))
        with pytest.raises(UsageError, match=f"--port {taken} is taken"):
            serve.serve(tmp_path, taken, heard)
    finally:
        stopping.append(servers[0])
        thread.join(10)
    assert not thread.is_alive()
    assert len(seen) == 1


def test_hostile_names_are_all_there(foreign: dict[str, str]) -> None:
    board = next(path for path in foreign if path.startswith("suites/") and path.endswith("index.html") and "toy" not in path)
    names = Page(foreign[board]).values("data-name", "tr")
    assert len(names) == len(HOSTILE) + 1
