"""Models of MLPerf Tiny: what they take at the least, and what others have published."""

from dataclasses import dataclass


__all__ = ["Published", "Benchmark", "MLPERF_TINY"]


@dataclass(frozen=True)
class Published:
    """Latency of one input that is in the device already, without the link to a host.

    ``changed`` says that it is of another network for the same task.
    """

    microseconds: float
    by:           str
    changed:      bool = False


@dataclass(frozen=True)
class Benchmark:
    """A model, and what to compare the device's cycles with.

    Parameters
    ----------
    name : str
    file : str
        Part of the name of the model's file.
    ideal : int
        Cycles of a 16 x 16 array that computes in each of them, whole words counted.
    schedule : int
        Cycles with 8 requantised results per cycle, 2 cycles per word of depthwise layers, and 50
        cycles between layers, too.
    published : tuple of Published
        The best on FPGAs with the same network, on FPGAs with others, of neural accelerators, and
        of microcontrollers.
    """

    name:      str
    file:      str
    ideal:     int
    schedule:  int
    published: tuple


MLPERF_TINY = (
    Benchmark("AD", "ad01_int8", ideal=1_040, schedule=1_548, published=(
        Published(18.7, "hls4ml, Pynq-Z2, 100 MHz", changed=True),
        Published(68.4, "Qualcomm Sensing Hub"),
        Published(176, "GAP9, 370 MHz"),
        Published(531, "Cortex-M85, 480 MHz"),
    )),
    Benchmark("KWS", "kws_ref_model", ideal=15_500, schedule=18_054, published=(
        Published(324, "fpgaConvNet, ZedBoard, 143 MHz"),
        Published(17.5, "FINN, 3-bit MLP", changed=True),
        Published(65.0, "Qualcomm Sensing Hub"),
        Published(476, "GAP9"),
        Published(3_460, "the best microcontroller"),
    )),
    Benchmark("IC", "pretrainedResnet_quant", ideal=52_200, schedule=55_232, published=(
        Published(147, "ZC706, 525 DSP, 187 MHz"),
        Published(411, "ZedBoard, 211 DSP, 143 MHz"),
        Published(1_510, "FINN, CNV-W1A1", changed=True),
        Published(7_640, "hls4ml", changed=True),
        Published(95.8, "Qualcomm Sensing Hub"),
        Published(616, "GAP9"),
        Published(8_480, "the best microcontroller"),
    )),
    Benchmark("VWW", "vww_96_int8", ideal=39_100, schedule=50_714, published=(
        Published(216, "VCU128, 994 DSP, 320 MHz"),
        Published(373, "ZCU106"),
        Published(720, "ZC706"),
        Published(114, "Qualcomm Sensing Hub"),
        Published(1_125, "GAP9"),
        Published(13_400, "the best microcontroller"),
    )),
)
