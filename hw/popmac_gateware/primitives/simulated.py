"""Modules of the simulated board: what is much faster in Verilog of its own than as a netlist.

Their source is ``popmac_sim/simulated.sv``. Processors have an instruction for counting bits, and
adders take hundreds of times as long; the netlist of a memory has an assignment for every word.
"""

from amaranth import *


__all__ = ["is_simulated", "count_ones", "block_ram", "single_port_ram"]


def is_simulated(platform):
    """Whether ``platform`` is the simulated board, which has the modules of this file."""
    return getattr(platform, "is_simulated", False)


def count_ones(*, bits, count):
    """Number of ones among 16 bits, in 5 bits, in the same cycle."""
    return Instance("count_ones", i_bits=bits, o_count=count)


def block_ram(*, depth, write_address, write_enable, write_data, read_address, read_data):
    """A block RAM with its output register on.

    Parameters
    ----------
    depth : int
    write_address, read_address : Value
    write_enable : Value
        A bit for each of the equal parts of a word.
    write_data, read_data : Value
    """
    return Instance("block_ram",
                    p_WIDTH=len(write_data), p_DEPTH=depth, p_ADDRESS_BITS=len(read_address),
                    p_PARTS=len(write_enable), i_clk=ClockSignal(),
                    i_write_address=write_address, i_write_enable=write_enable,
                    i_write_data=write_data, i_read_address=read_address, o_read_data=read_data)


def single_port_ram(*, depth, address, write_enable, write_data, read_data):
    """A memory with one port.

    Parameters
    ----------
    depth : int
    address : Value
    write_enable : Value
        A bit for each byte of a word.
    write_data, read_data : Value
    """
    return Instance("single_port_ram",
                    p_WIDTH=len(write_data), p_DEPTH=depth, p_ADDRESS_BITS=len(address),
                    i_clk=ClockSignal(), i_address=address, i_write_enable=write_enable,
                    i_write_data=write_data, o_read_data=read_data)
