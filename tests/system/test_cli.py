import json
import zipfile

import numpy as np
import pytest

import popmac
from popmac.cli import main
from popmac.driver.golden import GoldenCore
from popmac.protocol import Space
from popmac_sim.board import build_board


@pytest.fixture
def inputs(images, tmp_path):
    path = tmp_path / "inputs.npz"
    np.savez(path, image=images[:3])
    return path


def run(capsys, *arguments):
    """Exit status, standard output and standard error of a command."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as exit:
        status = exit.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def assert_refused(capsys, message, *arguments):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("popmac: "), err
    assert message in err


def test_check(capsys, digits):
    status, out, _ = run(capsys, "check", digits, "--target", "tiny", "--json")
    result = json.loads(out)
    assert status == 0 and result["supported"]
    assert result["macs"] == result["macs_on_device"] > 0
    assert [o["where"] for o in result["operators"]].count("host") == 1
    assert result["operators"][-1] | {"name": None} == {
        "index": 9, "op": "Softmax", "name": None, "where": "host",
        "reason": "the device has no Softmax",
        "remedy": "keep it if speed matters little, or change the model"}
    status, out, _ = run(capsys, "check", digits)
    assert status == 0 and "100.0% of 378,176 MACs on the device" in out


def test_compile_and_run(capsys, digits, images, inputs, tmp_path):
    program = tmp_path / "digits.popmac"
    status, out, _ = run(capsys, "compile", digits, "--target", "tiny", "-o", program)
    assert status == 0 and "MACs on the device" in out
    results = []
    for model in (program, digits):
        output = tmp_path / "results.npz"
        status, out, _ = run(capsys, "run", model, "--device", "golden:tiny", "--inputs", inputs,
                             "-o", output)
        assert status == 0 and "cycles" in out
        with np.load(output) as file:
            name, = file.files
            results.append(file[name])
    np.testing.assert_array_equal(*results)
    with popmac.open("golden:tiny") as device:
        np.testing.assert_array_equal(results[0], device.load(digits).run_many(images[:3]))


def test_run_json(capsys, digits, inputs):
    status, out, _ = run(capsys, "run", digits, "--device", "sim:tiny?link=fast", "--inputs",
                         inputs, "--json")
    result = json.loads(out)
    assert status == 0 and result["samples"] == 3
    assert result["counters"]["cycles"] > 1000
    assert 3 * result["counters"]["cycles"] < result["seconds"] * 1e8 < 1e6


def test_verify(capsys, digits, inputs):
    status, out, _ = run(capsys, "verify", digits, "--device", "sim:tiny?link=fast", "--inputs",
                         inputs)
    assert status == 0
    assert out.startswith("bit-exact: 10 tensors, ") and "3 inputs" in out and "LiteRT" in out
    status, out, _ = run(capsys, "verify", digits, "--device", "golden:tiny", "--inputs", inputs,
                         "--json")
    result = json.loads(out)
    assert status == 0 and result["bit_exact"] and result["first_difference"] is None
    assert result["inputs"] == 3 and result["tensors"] == 10


def test_waveform_of_no_difference(capsys, digits, inputs, tmp_path):
    wave = tmp_path / "wave.vcd"
    arguments = ["verify", digits, "--inputs", inputs, "--wave", wave, "--device"]
    status, out, _ = run(capsys, *arguments, "sim:tiny?link=fast")
    assert status == 0 and "no difference to show" in out and not wave.exists()
    status, out, _ = run(capsys, *arguments, "sim:tiny?link=fast", "--json")
    assert status == 0 and json.loads(out)["wave"] is None
    assert_refused(capsys, "--wave shows signals of simulated boards (sim:TARGET), and golden:tiny "
                   "is none", *arguments, "golden:tiny")


def test_inputs_may_be_called_x(capsys, digits, images, tmp_path):
    np.savez(tmp_path / "x.npz", x=images[:1])
    status, _, _ = run(capsys, "run", digits, "--device", "golden:tiny", "--inputs",
                       tmp_path / "x.npz")
    assert status == 0


def test_demo(capsys):
    status, out, _ = run(capsys, "demo", "--device", "sim:tiny?link=fast", "--images", "20")
    assert status == 0
    for expected in ("accuracy ", "bit-exact: 20 of 20", "cycles", "us at 100 MHz", "array"):
        assert expected in out


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
@pytest.mark.parametrize("command", ["check", "compile"])
def test_damaged_models_are_refused(capsys, digits, tmp_path, damage, command):
    data = bytearray(digits.read_bytes())
    if damage == "flipped":
        data[4] ^= 1
    data = {"truncated": data[:len(data) // 3], "flipped": data, "empty": b"",
            "text": b"hello\n" * 99}[damage]
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    assert_refused(capsys, "model.tflite", command, path, "--target", "tiny")


@pytest.mark.parametrize("position", [0, 9, 40, 5000, -40, -1])
def test_damaged_programs_are_refused(capsys, digits, inputs, tmp_path, position):
    path = tmp_path / "digits.popmac"
    data = bytearray(popmac.compile(digits, target="tiny").to_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)
    assert_refused(capsys, "digits.popmac", "run", path, "--device", "golden:tiny",
                   "--inputs", inputs)
    path.write_bytes(data[:position])
    assert_refused(capsys, "digits.popmac", "run", path, "--device", "golden:tiny",
                   "--inputs", inputs)


@pytest.mark.parametrize("arrays, message", [
    ({"image": np.zeros((2, 9, 8, 1), np.int8)}, "must have shape (1, 8, 8, 1)"),
    ({"image": np.zeros((2, 8, 8, 1), np.int32)}, "must be int8"),
    ({"picture": np.zeros((2, 8, 8, 1), np.int8)}, "has no array 'image'; it has picture"),
    ({"image": np.zeros((0, 8, 8, 1), np.int8)}, "at least one"),
    ({"image": np.array(None)}, "is not an .npz file of arrays"),
])
@pytest.mark.parametrize("command", ["run", "verify"])
def test_wrong_inputs_are_refused(capsys, digits, tmp_path, arrays, message, command):
    path = tmp_path / "inputs.npz"
    np.savez(path, **arrays)
    assert_refused(capsys, message, command, digits, "--device", "golden:tiny", "--inputs", path)


def test_inputs_that_are_no_array_are_refused(capsys, digits, tmp_path):
    path = tmp_path / "inputs.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("image", "text")
    assert_refused(capsys, "is not an .npz file of arrays", "run", digits, "--device",
                   "golden:tiny", "--inputs", path)


@pytest.mark.parametrize("arguments, message", [
    (("check", "no.tflite"), "no.tflite: No such file"),
    (("check", "model.xyz"), "model.xyz"),
    (("check", "{digits}", "--target", "huge"), "there is no target 'huge'; there are tiny, ulx"),
    (("run", "{digits}", "--device", "golden:tiny", "--inputs", "no.npz"), "no.npz"),
    (("run", "{digits}", "--device", "sim", "--inputs", "{inputs}"), "is no device"),
    (("run", "{digits}", "--device", "serial:/dev/nothing", "--inputs", "{inputs}"), "nothing"),
])
def test_wrong_arguments_are_refused(capsys, digits, inputs, arguments, message):
    arguments = [a.format(digits=digits, inputs=inputs) for a in arguments]
    assert_refused(capsys, message, *arguments)


def test_inputs_that_are_no_archive_are_refused(capsys, digits, tmp_path):
    path = tmp_path / "inputs.npz"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    assert_refused(capsys, "inputs.npz", "run", digits, "--device", "golden:tiny",
                   "--inputs", path)


def test_inputs_that_are_one_array_are_refused(capsys, digits, images, tmp_path):
    path = tmp_path / "inputs.npy"
    np.save(path, images)
    assert_refused(capsys, "is a single array", "run", digits, "--device", "golden:tiny",
                   "--inputs", path)


def test_unsupported_operators_are_listed(capsys, tmp_path):
    from tflite_models import ModelBuilder
    b = ModelBuilder()
    x = b.input((1, 4, 4, 2), scale=0.1)
    b.output(b.unary("ABS", b.unary("ABS", x)))
    path = tmp_path / "abs.tflite"
    path.write_bytes(b.build())
    assert_refused(capsys, "0 ABS", "compile", path)
    assert_refused(capsys, "1 ABS", "compile", path)
    status, out, _ = run(capsys, "check", path, "--json")
    result = json.loads(out)
    assert status == 2 and not result["supported"]
    assert [o["where"] for o in result["operators"]] == ["refused", "refused"]
    assert all(o["reason"] and o["remedy"] for o in result["operators"])


def test_usage(capsys):
    assert run(capsys)[0] == 2
    assert run(capsys, "fly")[0] == 2
    for command in ("check", "compile", "run", "verify", "demo", "bench"):
        status, out, _ = run(capsys, command, "--help")
        assert status == 0 and "--json" in out


def test_cycles_beside_published_ones(capsys, monkeypatch, digits, tmp_path):
    with popmac.open("sim:tiny?link=fast") as device:
        session = device.load(digits)
        session.run(np.zeros((8, 8, 1), np.int8))
        cycles  = session.counters["cycles"]
    (tmp_path / "my_kws_ref_model.tflite").write_bytes(digits.read_bytes())
    (tmp_path / "another.tflite").write_bytes(b"")
    # Building from sources is another thing.
    monkeypatch.setattr("popmac_sim.board.build_board",
                        lambda arch, folder=None, build=build_board: build(arch))
    arguments = ["bench", "--target", "tiny", "--models", tmp_path]
    status, out, _ = run(capsys, *arguments, "--json")
    row,    = json.loads(out)["models"]
    assert status == 0 and (row["model"], row["file"]) == ("KWS", "my_kws_ref_model.tflite")
    assert (row["cycles"], row["microseconds"]) == (cycles, pytest.approx(cycles / 100))
    assert (row["ideal"], row["schedule"]) == (15_500, 18_054)
    assert {"microseconds": 324, "by": "fpgaConvNet, ZedBoard, 143 MHz", "changed": False} \
        in row["published"]
    status, out, _ = run(capsys, *arguments)
    for expected in (f"{cycles:,}", "15,500", "18,054", "324 (fpgaConvNet, ZedBoard, 143 MHz)",
                     "17.5 (FINN, 3-bit MLP, another network)", "3,460"):
        assert status == 0 and expected in out


def test_no_models_to_bench(capsys, tmp_path):
    assert_refused(capsys, f"{tmp_path} has none of ad01_int8.tflite, ", "bench", "--models",
                   tmp_path)


@pytest.mark.parametrize("device", ["golden:tiny", "sim:tiny?link=fast"])
def test_selftest(capsys, device):
    status, out, _ = run(capsys, "selftest", "--device", device, "--json")
    result = json.loads(out)
    assert status == 0 and result["passed"] and result["failed"] == []
    assert len(result["items"]) > 15
    assert all("left to the host" not in item["detail"] for item in result["items"])


def test_selftest_says_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr("popmac.selftest.items.OPERATORS", {})
    def spoil(self, space, address, length, read=GoldenCore.read):
        octets = bytearray(read(self, space, address, length))
        if space == Space.PROGRAM and address == 0:
            octets[5] |= 0x10
        return bytes(octets)
    monkeypatch.setattr(GoldenCore, "read", spoil)
    status, out, _ = run(capsys, "selftest", "--device", "golden:tiny")
    assert status == 1 and "FAILED: program memory\n" in out
    assert "byte 0x5 reads as" in out


@pytest.mark.parametrize("arguments, message", [
    (["huge"], "there is no target 'huge'"),
    (["tiny", "--tcp", "nowhere"], "--tcp must be HOST:PORT, not 'nowhere'"),
    (["tiny", "--tcp", "127.0.0.1:99999"], "cannot listen on 127.0.0.1:99999"),
    (["tiny", "--pty", "/"], "/: File exists"),
])
def test_device_server_refuses(capsys, arguments, message):
    assert_refused(capsys, message, "device-server", *arguments)


def test_profile(capsys, digits, inputs, tmp_path):
    page = tmp_path / "profile.html"
    status, out, _ = run(capsys, "profile", digits, "--device", "sim:tiny?link=fast", "--html",
                         page, "--json")
    result = json.loads(out)
    assert status == 0
    assert result["cycles"] == pytest.approx(result["predicted"], rel=0.03)
    assert result["predicted"] == sum(layer["predicted"] for layer in result["layers"])
    for layer in result["layers"]:
        if layer["where"] == "host":
            assert layer["cycles"] == 0 and layer["bound"] == "host"
        elif layer["cycles"] > 1000:
            assert layer["cycles"] == pytest.approx(layer["predicted"], rel=0.03)
        if layer["macs"]:
            assert layer["use"] == layer["macs"] / layer["cycles"] / 16
            assert 0 < layer["use"] <= 1
    assert {layer["bound"] for layer in result["layers"]} >= {"array", "host"}

    text = page.read_text()
    assert "http" not in text and "<script" not in text # nothing from elsewhere
    assert text.count("<circle") == sum(layer["macs"] > 0 for layer in result["layers"])
    assert text.count("<rect") == len(result["layers"])
    for layer in result["layers"]:
        assert layer["name"] in text

    status, out, _ = run(capsys, "profile", digits, "--device", "sim:tiny?link=fast", "--inputs",
                         inputs)
    assert status == 0 and f"{result['cycles']:,} cycles" in out
    assert_refused(capsys, "counts no cycles", "profile", digits, "--device", "golden:tiny")


def test_evaluate(capsys, digits, images, tmp_path):
    graph  = popmac.load(digits)
    scores = [popmac.golden.layers.run(graph, {"image": image[None]})[graph.outputs[0]][0]
              for image in images[:6]]
    labels = np.argmax(scores, axis=1)
    labels[:2] += 1
    path   = tmp_path / "labelled.npz"
    np.savez(path, x=images[:6], y=labels, short=labels[:3])
    command = "evaluate", digits, "--device", "golden:tiny", "--inputs", path
    status, out, _ = run(capsys, *command, "--labels", "y", "--json")
    result = json.loads(out)
    assert status == 0
    assert result["samples"] == result["equal"] == 6
    assert result["accuracy"] == result["reference_accuracy"] == pytest.approx(4 / 6)
    status, out, _ = run(capsys, *command, "--labels", "y")
    assert status == 0 and "accuracy: 66.67% on the device, 66.67% by LiteRT" in out
    status, out, _ = run(capsys, *command)
    assert status == 0 and "accuracy" not in out and "6 of 6 samples" in out
    assert_refused(capsys, "has no array 'z'", *command, "--labels", "z")
    assert_refused(capsys, "labels must be 6 integers", *command, "--labels", "short")
