"""Why a message got its verdict, from the command line."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from filterd import cli
from filterd import config as configuration
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.token_codec import hashing_key, pack
from filterd.core.tokens import Extractor
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.inference.loaded import LoadedModel
from filterd.inference.registry import read_bundle
from filterd.store.sql import open_store
from filterd.testing import a_scan, an_envelope
from tests.filterd.tiny_bundle import SPAM_MAIL, write_bundle

ID = "email-20260101T000000-00000001"


def _judged_by(bundle: Path) -> Verdict:
    """A verdict on ``SPAM_MAIL``, with what the model read."""
    model = LoadedModel(read_bundle(bundle))
    hashing = model.spec.hashing
    tokens = Extractor(Channel.EMAIL, hashing, ParseLimits())(SPAM_MAIL).tokens
    scan = replace(
        a_scan(0.99),
        model=model.spec.id,
        logit=model.score(tokens),
        tokens=pack(tokens, hashing),
        hashing=hashing_key(hashing),
    )
    decision = Decision(action=Action.TAG, reason=Reason.SPAM, scan=scan)
    outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
    return Verdict.of(an_envelope(), 1, decision, outcome, {})


def _explain(path: Path, verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> str:
    async def record() -> None:
        async with open_store(configuration.load(path, {}).config) as store:
            await store.record(verdict)

    asyncio.run(record())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["filterd", "explain", verdict.id, "--config", str(path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code
    return capsys.readouterr().out


def _configured(tmp_path: Path, models: str) -> Path:
    path = tmp_path / "filterd.toml"
    path.write_text(f"[server]\nstate_dir = {json.dumps(str(tmp_path / 'state'))}\n{models}", encoding="utf-8")
    return path


def test_explain_when_the_bundle_is_pinned_gives_the_number_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle that the configuration names is in no registry."""
    bundle = write_bundle(tmp_path / "pinned", Channel.EMAIL, id=ID)
    path = _configured(tmp_path, f"[models]\nemail = {json.dumps(str(bundle))}\n")

    told = _explain(path, _judged_by(bundle), capsys)

    assert re.search(r"logit [+-]\d+\.\d{4} reproduced", told)


def test_explain_when_the_bundle_is_gone_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "gone", Channel.EMAIL, id=ID)
    path = _configured(tmp_path, "")

    told = _explain(path, _judged_by(bundle), capsys)

    assert f"model {ID} is not here" in told
