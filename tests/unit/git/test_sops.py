"""Files that sops encrypted, with age and with PGP; the real programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from reconciler.api.errors import BadInput
from reconciler.api.files import SourceFile
from reconciler.api.options import RunOptions
from reconciler.git import helm as helm_program
from reconciler.git.read import read_source
from reconciler.run.repository import Repository, read_repository
from tests.unit.git.programs import AGE_KEYGEN, HELM, SOPS, built
from tests.unit.git.repositories import CLUSTER, FEDERATION, config_map, write
from tests.unit.git.signing import Signer

# The first run on a machine builds sops, from some hundred modules.
pytestmark = pytest.mark.timeout(1500)

PASSWORD = "c4nary-passw0rd"
SECRET = f"""\
apiVersion: v1
kind: Secret
metadata:
  name: database
  namespace: shop
stringData:
  password: {PASSWORD}
"""
ENABLED = "  source: {sops: {enabled: true}}\n"
Encrypt = Callable[..., str]


@pytest.fixture(scope="session")
def age_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("age") / "keys.txt"
    subprocess.run([built(*AGE_KEYGEN), "-o", file], check=True, capture_output=True)
    return file


def recipient(key: Path) -> str:
    line = next(line for line in key.read_text().splitlines() if "public key" in line)
    return line.rsplit(" ", 1)[1]


@pytest.fixture
def encrypt(age_key: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Encrypt:
    """Encrypts a text as a person would; the age key is where a run finds it."""
    sops = built(*SOPS)
    monkeypatch.setenv("PATH", f"{sops.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(age_key))

    def run(text: str, *options: str, kind: str = "yaml", **env: str) -> str:
        to = options or ("--age", recipient(age_key), "--encrypted-regex", "^(data|stringData)$")
        return subprocess.run(
            [sops, "--encrypt", *to, "--input-type", kind, "--output-type", kind, "/dev/stdin"],
            input=text,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return run


def repository(folder: Path, files: dict[str, str], source: str = ENABLED) -> Path:
    write(folder, {"federation.yaml": FEDERATION + source, "cluster.yaml": CLUSTER, **files})
    return folder


def understood(folder: Path) -> Repository:
    return read_repository(RunOptions(repo=str(folder)))


def problems(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        understood(folder)
    return "\n".join(str(problem) for problem in caught.value.problems)


def secrets(found: Repository) -> list[str]:
    return [
        w.template["stringData"]["password"]
        for w in found.state.workloads
        if w.template["kind"] == "Secret"
    ]


def test_an_encrypted_secret_is_read_in_clear(tmp_path: Path, encrypt: Encrypt) -> None:
    text = encrypt(SECRET)
    assert PASSWORD not in text
    folder = repository(tmp_path / "fleet", {"shop/secret.yaml": text})
    assert secrets(understood(folder)) == [PASSWORD]


def test_every_document_of_a_file_and_json_are_decrypted(tmp_path: Path, encrypt: Encrypt) -> None:
    json = '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "j", "namespace": "shop"},'
    json += f'"stringData": {{"password": "{PASSWORD}"}}}}'
    files = {
        "two.yaml": encrypt(SECRET + "---\n" + SECRET.replace("database", "other")),
        "one.json": encrypt(json, kind="json"),
    }
    found = understood(repository(tmp_path / "fleet", files))
    assert secrets(found) == [PASSWORD] * 3


def test_pgp_works_as_age_does(tmp_path: Path, encrypt: Encrypt, alice: Signer) -> None:
    home = str(alice.home)
    subprocess.run(
        ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-add-key",
         alice.options[1].split("=")[1], "cv25519", "encr"],
        env={**os.environ, "GNUPGHOME": home},
        check=True,
        capture_output=True,
    )  # fmt: skip
    key = alice.options[1].split("=")[1]
    text = encrypt(SECRET, "--pgp", key, "--encrypted-regex", "^stringData$", GNUPGHOME=home)
    folder = repository(tmp_path / "fleet", {"secret.yaml": text})
    assert "none of the keys" in problems(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", home)
        assert secrets(understood(folder)) == [PASSWORD]


def test_clear_text_is_kept_in_memory_only(tmp_path: Path, encrypt: Encrypt) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = repository(tmp_path / "fleet", {"secret.yaml": encrypt(SECRET)})
    watched = tmp_path / "watched"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        sops = subprocess.run(["which", "sops"], capture_output=True, text=True, check=True).stdout
        spy = tmp_path / "bin" / "sops"
        spy.parent.mkdir()
        # What the program is told, and whether it is told to write.
        spy.write_text(
            f'#!/bin/sh\necho "$@" >> {watched}\nenv >> {watched}\nexec {sops.strip()} "$@"\n'
        )
        spy.chmod(0o755)
        patch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "c4nary-cloud")
        assert secrets(understood(folder)) == [PASSWORD]
    assert "/dev/stdin" in watched.read_text()
    assert "--in-place" not in watched.read_text()
    assert "c4nary" not in watched.read_text()
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any("parsed" in str(file) for file in left), "what is parsed is remembered, but for this"
    assert not [file for file in left if PASSWORD.encode() in file.read_bytes()]


def test_a_plan_of_two_runs_reads_the_same(tmp_path: Path, encrypt: Encrypt) -> None:
    folder = repository(tmp_path / "fleet", {"secret.yaml": encrypt(SECRET)})
    assert understood(folder).state == understood(folder).state


def test_without_the_rule_an_encrypted_file_is_a_problem(tmp_path: Path, encrypt: Encrypt) -> None:
    said = problems(repository(tmp_path / "fleet", {"secret.yaml": encrypt(SECRET)}, source=""))
    assert "secret.yaml:1:1: encrypted by sops, which no rule asks to decrypt" in said
    assert "spec.source.sops.enabled: true" in said


def test_without_the_key_the_file_is_named(
    tmp_path: Path, encrypt: Encrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "fleet", {"shop/secret.yaml": encrypt(SECRET)})
    monkeypatch.delenv("SOPS_AGE_KEY_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    said = problems(folder)
    assert "shop/secret.yaml:1:1: cannot be decrypted: none of the keys" in said
    assert "SOPS_AGE_KEY_FILE" in said


def test_a_changed_file_is_refused(tmp_path: Path, encrypt: Encrypt) -> None:
    text = encrypt(SECRET).replace("name: database", "name: databank")
    said = problems(repository(tmp_path / "fleet", {"secret.yaml": text}))
    assert "secret.yaml:1:1: cannot be decrypted: it was changed after" in said


def test_a_damaged_file_is_refused_without_a_word_of_it(tmp_path: Path, encrypt: Encrypt) -> None:
    text = encrypt(SECRET)
    broken = text.replace("-----BEGIN AGE ENCRYPTED FILE-----", "-----BEGIN NOTHING-----")
    assert broken != text
    said = problems(repository(tmp_path / "fleet", {"secret.yaml": broken}))
    assert "secret.yaml:1:1: cannot be decrypted" in said
    assert PASSWORD not in said


def test_without_the_program_its_name_is_told(
    tmp_path: Path, encrypt: Encrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "fleet", {"secret.yaml": encrypt(SECRET)})
    monkeypatch.setenv("PATH", str(tmp_path))
    # A folder outside of Git: git is not needed either.
    said = problems(folder)
    assert "sops cannot be run" in said
    assert "install sops" in said


def test_a_fault_in_clear_text_is_told_by_line_but_not_by_value(
    tmp_path: Path, encrypt: Encrypt
) -> None:
    wrong = SECRET.replace("stringData:", "stringDatum:")
    key = ("--age", recipient(Path(os.environ["SOPS_AGE_KEY_FILE"])))
    text = encrypt(wrong, *key, "--encrypted-regex", "^stringDatum$")
    folder = repository(tmp_path / "fleet", {"secret.yaml": text})
    found = read_source(RunOptions(repo=str(folder)))
    (file,) = [file for file in found.files if file.path == "secret.yaml"]
    assert (file.decrypted, file.blob) == (True, None)
    assert PASSWORD not in repr(file)


def test_of_whatever_was_encrypted_all_is_hidden(tmp_path: Path, encrypt: Encrypt) -> None:
    text = encrypt(config_map("settings", key="value"))
    files = {"settings.yaml": text, "plain.yaml": config_map("plain", key="value")}
    found = understood(repository(tmp_path / "fleet", files))
    assert not [text for text in found.warnings if "settings.yaml" in text]
    assert {w.key.name: w.rules.hidden for w in found.state.workloads} == {
        "settings": ("",),
        "plain": (),
    }


def test_only_files_of_sops_are_taken_for_such() -> None:
    from reconciler.git.sops import is_encrypted

    def taken(text: str, path: str = "a.yaml") -> bool:
        return is_encrypted(SourceFile(path, text.encode()))

    block = "data: {a: 'ENC[AES256_GCM,data:x]'}\nsops:\n  mac: x\n"
    assert taken(block)
    assert not taken(config_map("sops", about="ENC[ and sops"))
    assert not taken("apiVersion: v1\ndata:\n  inner: |\n    sops:\n      mac: ENC[x]\n")
    assert taken('{"a": "ENC[x]", "sops": {"mac": "x"}}', "a.json")
    assert not taken('{"a": "ENC[x]", "spec": {"sops": {"mac": "x"}}}', "a.json")
    assert not taken('{"a": "ENC[x]", "sops": ', "a.json")


PLAIN = """\
apiVersion: example.com/v1
kind: Widget
metadata: {name: a, namespace: shop}
spec:
  day: 2026-01-01
  other: "yes"
  flag: yes
  mode: 0123
  size: 1_000
  text: 2026
data: {password: %s, year: 2026-01-01, quoted: "2026-01-01"}
"""


def test_plain_scalars_that_sops_reads_otherwise_are_told(tmp_path: Path, encrypt: Encrypt) -> None:
    """Edited by hand beside the encrypted ones, as a MAC of these alone allows."""
    options = ("--mac-only-encrypted", "--encrypted-regex", "^data$")
    plain = PLAIN % PASSWORD
    sealed = encrypt(plain, "--age", recipient(Path(os.environ["SOPS_AGE_KEY_FILE"])), *options)
    by_hand = plain[: plain.index("\ndata:")] + sealed[sealed.index("\ndata:") :]
    folder = repository(tmp_path / "fleet", {"a.yaml": by_hand})
    told = [w for w in understood(folder).warnings if "sops" in w]
    other = "is not encrypted, and sops, which reads YAML 1.2, gives another value: quote it"
    assert told == [
        f"a.yaml:5: spec.day {other}",
        f"a.yaml:7: spec.flag {other}",
        "a.yaml:13: data.year was encrypted as a date without quotes, which sops writes as a "
        "time: encrypt it in quotes",
    ]
    assert PASSWORD not in "".join(understood(folder).warnings)


def test_a_file_as_sops_wrote_it_needs_no_warning(tmp_path: Path, encrypt: Encrypt) -> None:
    folder = repository(tmp_path / "fleet", {"a.yaml": encrypt(SECRET)})
    found = understood(folder)
    assert secrets(found) == [PASSWORD]
    assert not [w for w in found.warnings if "sops" in w]


CHART = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Chart
metadata: {name: shop, namespace: shop}
spec:
  path: web
  valuesFiles: [secret.yaml]
"""
WEB = {
    "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "web/templates/config.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"
        "data: {url: 'db://{{ .Values.password }}@db'}\n"
    ),
}


def charts(folder: Path, monkeypatch: pytest.MonkeyPatch, values: str, **files: str) -> Repository:
    helm = built(*HELM)
    monkeypatch.setenv("PATH", f"{helm.parent}:{os.environ['PATH']}")
    given = {"chart.yaml": CHART, "secret.yaml": values, **WEB, **files}
    return understood(repository(folder / "fleet", given))


def test_values_of_a_chart_may_be_encrypted_and_are_hidden_in_all_that_it_renders(
    tmp_path: Path, age_key: Path, encrypt: Encrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    write_chart = helm_program.write_chart

    def watched(top: Path, files: Sequence[SourceFile]) -> Path:
        seen.extend(file.content.decode() for file in files)
        return write_chart(top, files)

    monkeypatch.setattr(helm_program, "write_chart", watched)
    values = encrypt(f"password: {PASSWORD}\n", "--age", recipient(age_key))
    found = charts(tmp_path, monkeypatch, values)
    (workload,) = found.state.workloads
    assert workload.template["data"]["url"] == f"db://{PASSWORD}@db"
    assert "" in workload.rules.hidden
    assert seen
    assert PASSWORD not in "".join(seen)


def test_what_helm_says_of_encrypted_values_is_not_repeated(
    tmp_path: Path, age_key: Path, encrypt: Encrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = encrypt(f"password: {PASSWORD}\n", "--age", recipient(age_key))
    failing = {"web/templates/config.yaml": "{{ fail .Values.password }}\n"}
    with pytest.raises(BadInput) as caught:
        charts(tmp_path, monkeypatch, values, **failing)
    (problem,) = caught.value.problems
    assert PASSWORD not in f"{problem} {problem.hint}"
    assert problem.position.file == "web/templates/config.yaml"
    with pytest.raises(BadInput) as caught:
        charts(tmp_path, monkeypatch, f"password: {PASSWORD}\n", **failing)
    assert PASSWORD not in str(caught.value.problems[0])


def test_encrypted_files_must_not_lie_in_a_chart(
    tmp_path: Path, age_key: Path, encrypt: Encrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = encrypt(f"password: {PASSWORD}\n", "--age", recipient(age_key))
    with pytest.raises(BadInput) as caught:
        charts(tmp_path, monkeypatch, "a: b\n", **{"web/values.yaml": values})
    (problem,) = caught.value.problems
    assert "encrypted by sops and inside of a chart" in problem.message
    assert problem.position.file == "web/values.yaml"
