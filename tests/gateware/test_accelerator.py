from dataclasses import replace

import numpy as np
import pytest
from amaranth.utils import exact_log2

from popmac import isa
from popmac.arch import TABLES, target
from popmac.compiler.nest import Loop, loop_fields
from popmac.golden.machine import Machine
from popmac.layout import planar
from popmac.protocol import Space
from popmac_gateware.accelerator import Accelerator
from popmac_gateware.serial.accelerator import SerialAccelerator


SERIAL = replace(target("icebreaker"), weight_words=256, activation_words=128, program_rows=64)
TINY = replace(target("tiny"), weight_words=64, activation_words=128, program_rows=64)


def random_parameters(rng, arch, blocks, unit):
    rows = np.zeros((blocks * arch.columns // 2, isa.ROW_BYTES), np.uint8)
    for half in rows.reshape(-1, isa.ROW_BYTES // 2):
        shift = int(rng.integers(20, 30))
        if not unit.is_pair:
            record = isa.ChannelParameters(
                multiplier=int(rng.integers(2**(shift - 8))), shift=shift,
                bias=int(rng.integers(-20000, 20000)),
                offset_positive=int(rng.integers(2**shift)),
                offset_negative=int(rng.integers(2**shift)))
        else:
            record = isa.PairParameters(
                multiplier=int(rng.integers(2**min(shift, 25))), shift=shift,
                second_multiplier=int(rng.integers(2**min(shift, 25))),
                offset=int(rng.integers(2**shift)))
        half[:] = np.frombuffer(record.encode().to_bytes(isa.ROW_BYTES // 2, "little"), np.uint8)
    return rows


def random_layer(rng, arch, parameters, words):
    """A convolution, pooling or element-wise layer from the lower to the upper half of memory."""
    units   = [unit for unit in isa.Unit
               if unit != isa.Unit.BINARY and unit.name in arch.units]
    units  += [isa.Unit.BINARY] * (2 * arch.planes)
    unit    = isa.Unit(int(rng.choice(units)))
    half    = arch.activation_words // 2
    bits    = bool(rng.random() < 0.3) and arch.engine == "systolic"
    if unit == isa.Unit.BINARY:
        return random_binary_layer(rng, arch, parameters, words, bits)
    while True:
        height, width = (int(n) for n in rng.integers(1, 7, 2))
        kernel        = rng.integers(1, 4, 2).tolist()
        stride        = rng.integers(1, 3, 2).tolist()
        dilation      = rng.integers(1, 3, 2).tolist()
        top, left     = (int(rng.integers(0, k * d)) for k, d in zip(kernel, dilation))
        bottom, right = (int(rng.integers(0, k * d)) for k, d in zip(kernel, dilation))
        rows    = (height + top + bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
        columns = (width + left + right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
        if rows < 1 or columns < 1:
            continue
        inputs  = int(rng.integers(1, 10))
        if unit == isa.Unit.DEPTHWISE: # whole words, those of both rows in different banks
            inputs, dilation[1] = max(inputs, arch.word_bytes), 1
        source  = planar((height, width, inputs), arch.word_bytes,
                         row_pitch=lambda words, d=dilation[0]: words + (words * d % 8 == 0))
        if source.row_pitch * dilation[0] % 8 == 0 and unit == isa.Unit.DEPTHWISE:
            continue
        channels = int(rng.integers(1, 10)) if unit == isa.Unit.ARRAY else source.channels
        result  = planar((rows, columns, channels), arch.word_bytes)
        if source.words > half or result.words > half:
            continue
        break
    packed = source.group < arch.word_bytes
    if packed and dilation[1] == 1:
        taps = Loop(-(-kernel[1] * source.group // arch.word_bytes), column=arch.word_bytes,
                    weight=1)
    else:
        taps = Loop(kernel[1], column=dilation[1] * source.pixel_bytes, weight=1)
    array = unit == isa.Unit.ARRAY
    if not array:
        taps = Loop(kernel[1], column=dilation[1] * source.pixel_bytes, weight=1)
    if unit == isa.Unit.DEPTHWISE:
        assert arch.tap_columns == 1
        taps.strides["weight"] = 1
    inputs  = Loop(source.blocks, word=source.block_pitch, weight=1) if array else Loop()
    per_row = taps.count * inputs.count
    taps.strides["weight"] = inputs.count
    weighted = array or unit == isa.Unit.DEPTHWISE
    rows_at_once = 2 if unit == isa.Unit.DEPTHWISE else 1
    used = per_row * kernel[0] * result.blocks if weighted else 1
    if used > words:
        return random_layer(rng, arch, parameters, words)
    fields = loop_fields({
        "input_block":   inputs,
        "kernel_column": taps,
        "kernel_row":    Loop(-(-kernel[0] // rows_at_once), row=dilation[0] * rows_at_once,
                              word=dilation[0] * source.row_pitch * rows_at_once, weight=per_row),
        "column":        Loop(columns, column=stride[1] * source.pixel_bytes,
                              output=result.pixel_bytes),
        "row":           Loop(rows, row=stride[0], word=stride[0] * source.row_pitch,
                              output=result.row_pitch * arch.word_bytes),
        "output_block":  Loop(result.blocks, weight=per_row * kernel[0],
                              word=0 if array else source.block_pitch,
                              output=result.block_pitch * arch.word_bytes),
    })
    low, high = sorted(rng.integers(-128, 128, 2).tolist())
    return isa.Layer(
        **fields, first_row=-top, first_column=-left * source.pixel_bytes,
        first_word=-top * source.row_pitch % 2**16,
        first_weight=int(rng.integers(words - used + 1)),
        height=height,
        row_bytes=source.row_bytes, padding=int(rng.integers(-128, 128)), unit=unit,
        tap_rows=dilation[0], tap_words=dilation[0] * source.row_pitch,
        second_zero_point=int(rng.integers(-128, 128)),
        table=int(rng.integers(TABLES)), use_table=int(rng.random() < 0.3),
        parameters=parameters, shared=int(rng.random() < 0.3),
        zero_point=int(rng.integers(-128, 128)), low=low, high=high,
        first_output=half * arch.word_bytes,
        bits=bits, channels_log2=0 if bits else result.group.bit_length() - 1,
        last_phase=arch.phases - 1 if bits else -(-result.group // arch.lanes) - 1)


def random_binary_layer(rng, arch, parameters, words, bits):
    """A layer of the binary engine; pixels are whole words, blocks of channels side by side."""
    half = arch.activation_words // 2
    while True:
        height, width, blocks = (int(n) for n in rng.integers(1, [5, 9, 3]))
        kernel   = rng.integers(1, 4, 2).tolist()
        stride   = rng.integers(1, 3, 2).tolist()
        rows     = (height - kernel[0]) // stride[0] + 1
        columns  = (width - kernel[1]) // stride[1] + 1
        step     = stride[1] * blocks
        most     = min(arch.planes, 7 // step + 1)
        log2     = int(rng.integers(min(most.bit_length() - 1, 2) + 1)) # bits of an activation
        results  = int(rng.integers(log2 + 1)) if bits else 0           # and of a result
        pixels   = int(rng.integers(1, (most >> log2) + 1))
        planes   = pixels << log2
        outputs  = int(rng.integers(1, 3)) # blocks
        pixel    = 1 << int(rng.integers(exact_log2(arch.columns) + 1, 5)) # bytes of a result
        pixel    = max(pixel, arch.word_bytes << results if results else 0)
        used     = outputs * kernel[0] * kernel[1] * blocks
        last     = ((rows + 1) * (columns + planes)) * pixel // arch.word_bytes
        if rows > 0 and columns > 0 and used <= words and last < half \
                and height * width * blocks < half:
            break
    word   = arch.word_bytes
    fields = loop_fields({
        "input_block":   Loop(blocks, word=1, weight=1),
        "kernel_column": Loop(kernel[1], column=blocks * word, weight=blocks),
        "kernel_row":    Loop(kernel[0], row=1, word=width * blocks, weight=blocks * kernel[1]),
        "column":        Loop(-(-columns // pixels), column=pixels * step * word,
                              output=pixels * pixel),
        "row":           Loop(rows, row=stride[0], word=stride[0] * width * blocks,
                              output=columns * pixel),
        "output_block":  Loop(outputs, weight=used // outputs, output=1 if bits else arch.columns),
    })
    low, high = sorted(rng.integers(-128, 128, 2).tolist())
    return isa.Layer(
        **fields, first_weight=int(rng.integers(words - used + 1)), height=height,
        row_bytes=width * blocks * word, unit=isa.Unit.BINARY, parameters=parameters,
        plane_words=step, plane_log2=exact_log2(pixel), tail_bytes=int(rng.integers(1, word + 1)),
        tail_always=int(rng.random() < 0.3), doubling=isa.Doubling(int(rng.integers(3))),
        plane_bits_log2=log2, result_bits_log2=results,
        zero_point=int(rng.integers(-128, 128)), low=low, high=high, bits=bits,
        first_output=half * word, channels_log2=0 if bits else exact_log2(arch.columns),
        last_phase=planes * arch.phases - 1)


class Host:
    """Drives the host bus of a simulated accelerator."""

    def __init__(self, ctx, bus):
        self.ctx, self.bus = ctx, bus

    async def write(self, space, address, octets):
        ctx, bus = self.ctx, self.bus
        for i, octet in enumerate(octets):
            ctx.set(bus.write.payload, {"space": space, "address": address + i, "data": octet})
            ctx.set(bus.write.valid, 1)
            await ctx.tick().until(bus.write.ready)
        ctx.set(bus.write.valid, 0)

    async def read(self, space, address, count):
        ctx, bus = self.ctx, self.bus
        octets = []
        for i in range(count):
            ctx.set(bus.read.payload, {"space": space, "address": address + i})
            ctx.set(bus.read.valid, 1)
            await ctx.tick().until(bus.read.ready)
            ctx.set(bus.read.valid, 0)
            ctx.set(bus.data.ready, 1)
            octet, = await ctx.tick().sample(bus.data.payload).until(bus.data.valid)
            ctx.set(bus.data.ready, 0)
            octets.append(octet)
        return octets

    async def run(self, first, last):
        ctx, bus = self.ctx, self.bus
        ctx.set(bus.run.payload, {"first": first, "last": last})
        ctx.set(bus.run.valid, 1)
        await ctx.tick().until(bus.run.ready)
        ctx.set(bus.run.valid, 0)
        await ctx.tick().until(~bus.busy)


async def load(host, machine):
    await host.write(Space.ACTIVATION, 0, machine.activations.view(np.uint8).tolist())
    await host.write(Space.WEIGHT, 0, machine.weight_space.view(np.uint8).tolist())
    for row, octets in enumerate(machine.program):
        await host.write(Space.PROGRAM, row * 64, octets.tolist())


async def counters(host, layer):
    octets = await host.read(Space.PROGRAM, (layer * isa.LAYER_ROWS + isa.COUNTER_ROW) * 64, 36)
    return isa.LayerCounters.decode(int.from_bytes(bytes(octets), "little"))


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow)
                                               for seed in range(4, 8))])
@pytest.mark.parametrize("planes", [0, 1, 4, 8])
def test_layers_match_golden_machine(rng, simulate, seed, planes):
    arch = replace(TINY, planes=planes)
    check_layers(rng, simulate, arch, Accelerator(arch), lambda layer: {
        "steps": np.prod([level.last + 1 for level in layer.levels])})


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow)
                                               for seed in range(2, 16))])
def test_serial_layers_match_golden_machine(rng, simulate, seed):
    def counts(layer):
        inner, outer = np.split([level.last + 1 for level in layer.levels], [3])
        groups = -(-outer[0] // 2) * outer[1] * outer[2]
        return {"steps": 4 * groups * inner.prod(), "requantise": 4 * groups}

    check_layers(rng, simulate, SERIAL, SerialAccelerator(SERIAL), counts)


def test_serial_results_are_in_time(rng, simulate):
    """Pixels of any number of steps: results wait for free cycles, but not for too long."""
    arch, blocks = SERIAL, range(1, 12)
    machine = Machine(arch)
    machine.weight_space[:] = rng.integers(-128, 128, machine.weight_space.shape)
    machine.activations[:]  = rng.integers(-128, 128, machine.activations.shape)
    free = len(blocks) * isa.LAYER_ROWS
    machine.program[free:free + 2] = random_parameters(rng, arch, 1, isa.Unit.ARRAY)
    for index, count in enumerate(blocks):
        fields = loop_fields({
            "input_block": Loop(count, word=1, weight=1),
            "column": Loop(7, column=4, output=4),
            "row":    Loop(2, word=1, output=28),
        })
        layer = isa.Layer(**fields, height=1, row_bytes=32, parameters=free, shared=1, low=-128,
                          high=127, first_output=256, channels_log2=2, last_phase=1)
        rows  = layer.encode().to_bytes(isa.COUNTER_ROW * isa.ROW_BYTES, "little")
        start = index * isa.LAYER_ROWS
        machine.program[start:start + isa.COUNTER_ROW] = \
            np.frombuffer(rows, np.uint8).reshape(-1, isa.ROW_BYTES)
    dut = SerialAccelerator(arch)

    async def testbench(ctx):
        host = Host(ctx, dut.host)
        await load(host, machine)
        for index, count in enumerate(blocks):
            await host.run(index, index)
            machine.run(index, index)
            memory = await host.read(Space.ACTIVATION, 256, 56)
            np.testing.assert_array_equal(
                np.array(memory, np.uint8).view(np.int8), machine.activations[256:256 + 56],
                f"{count} steps per pixel")

    simulate(dut, testbench, max_cycles=100_000)


def check_layers(rng, simulate, arch, dut, counts):
    """Run three random layers; ``counts`` makes of a layer what some of its counters should be."""
    machine = Machine(arch)
    machine.weight_space[:] = rng.integers(-128, 128, machine.weight_space.shape)
    machine.activations[:] = rng.integers(-128, 128, machine.activations.shape)
    layers, free = [], 3 * isa.LAYER_ROWS
    for index in range(3):
        layer  = random_layer(rng, arch, free, arch.weight_words)
        blocks = 1 if layer.shared else layer.output_block.last + 1
        rows   = random_parameters(rng, arch, blocks, layer.unit)
        machine.program[free:free + len(rows)] = rows
        free  += len(rows)
        encoded = layer.encode().to_bytes(isa.COUNTER_ROW * isa.ROW_BYTES, "little")
        start  = index * isa.LAYER_ROWS
        machine.program[start:start + isa.COUNTER_ROW] = \
            np.frombuffer(encoded, np.uint8).reshape(-1, isa.ROW_BYTES)
        layers.append(layer)
    assert free <= arch.program_rows

    async def testbench(ctx):
        host = Host(ctx, dut.host)
        await load(host, machine)
        total = 0
        await host.run(0, 2)
        machine.run(0, 2)
        cycles = ctx.get(dut.host.cycles)
        memory = await host.read(Space.ACTIVATION, 0, arch.activation_bytes)
        np.testing.assert_array_equal(np.array(memory, np.uint8).view(np.int8),
                                      machine.activations)
        for index, layer in enumerate(layers):
            counted = await counters(host, index)
            for name, count in counts(layer).items():
                assert getattr(counted, name) == count
            assert counted.cycles == sum(value for name, value in vars(counted).items()
                                         if name != "cycles")
            total += counted.cycles
        assert total <= cycles <= total + 4

    simulate(dut, testbench, max_cycles=100_000)
