"""Behaviour of those ECP5 blocks of which Yosys has only the shells.

Written from Lattice FPGA-TN-02204 (memory usage guide) and FPGA-TN-02205 (sysDSP usage guide). What
popmac does not use is left out, and is an error if it is asked for.
"""

__all__ = ["ecp5_models"]


def ecp5_models():
    """Verilog of ``DP16KD`` and ``MULT18X18D``."""
    return _dp16kd() + _mult18x18d()


def _scalars(name, count):
    return ", ".join(f"{name}{i}" for i in reversed(range(count)))


def _dp16kd():
    ports = []
    for port in "AB":
        ports += [f"input {_scalars(f'DI{port}', 18)}", f"input {_scalars(f'AD{port}', 14)}",
                  f"input CE{port}, OCE{port}, CLK{port}, WE{port}, RST{port}, "
                  f"CS{port}2, CS{port}1, CS{port}0", f"output {_scalars(f'DO{port}', 18)}"]
    initial = "\n".join(f"    parameter [319:0] INITVAL_{i:02X} = 320'b0;" for i in range(64))
    text = f"""
module DP16KD({', '.join(ports)});
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED";
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000";
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter INIT_DATA = "STATIC";
{initial}

    // Bytes of 9 bits. A port of 36 bits uses the data pins of both ports.
    reg [8:0] memory [0:2047];
    integer k;
    initial for (k = 0; k < 2048; k = k + 1) memory[k] = 9'b0;
    generate if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB" ||
                 CSDECODE_A != "0b000" || CSDECODE_B != "0b000" ||
                 WRITEMODE_A == "WRITETHROUGH" || WRITEMODE_B == "WRITETHROUGH" ||
                 (DATA_WIDTH_A != 9 && DATA_WIDTH_A != 18 && DATA_WIDTH_A != 36) ||
                 (DATA_WIDTH_B != 9 && DATA_WIDTH_B != 18 && DATA_WIDTH_B != 36))
        mode_is_not_modelled error();
    endgenerate
"""
    for port in "AB":
        low  = f"{{{_scalars(f'DI{port}', 18)}}}"
        wide = f"{{{_scalars('DIB', 18)}, {_scalars('DIA', 18)}}}"
        text += f"""
    wire [13:0] address_{port} = {{{_scalars(f'AD{port}', 14)}}};
    wire [35:0] in_{port} = DATA_WIDTH_{port} == 36 ? {wide} : {{18'b0, {low}}};
    wire [10:0] base_{port} = DATA_WIDTH_{port} == 36 ? {{address_{port}[13:5], 2'b00}} :
                         DATA_WIDTH_{port} == 18 ? {{address_{port}[13:4], 1'b0}} :
                         address_{port}[13:3];
    wire [3:0] enable_{port} = DATA_WIDTH_{port} == 36 ? address_{port}[3:0] :
                          DATA_WIDTH_{port} == 18 ? {{2'b00, address_{port}[1:0]}} : 4'b0001;
    wire active_{port} = CE{port} && !CS{port}0 && !CS{port}1 && !CS{port}2;
    always @(posedge CLK{port}) if (active_{port} && WE{port}) begin
        if (enable_{port}[0]) memory[base_{port}]     <= in_{port}[8:0];
        if (enable_{port}[1]) memory[base_{port} + 1] <= in_{port}[17:9];
        if (enable_{port}[2]) memory[base_{port} + 2] <= in_{port}[26:18];
        if (enable_{port}[3]) memory[base_{port} + 3] <= in_{port}[35:27];
    end

    // With a normal write the output stays; the other mode reads what is overwritten.
    reg [35:0] read_{port} = 36'b0, kept_{port} = 36'b0;
    wire reading_{port} = active_{port} && (!WE{port} || WRITEMODE_{port} == "READBEFOREWRITE");
    wire [35:0] next_{port} = {{memory[base_{port} + 3], memory[base_{port} + 2],
                           memory[base_{port} + 1], memory[base_{port}]}};
    generate if (RESETMODE == "SYNC") begin
        always @(posedge CLK{port})
            if (RST{port}) read_{port} <= 36'b0;
            else if (reading_{port}) read_{port} <= next_{port};
        always @(posedge CLK{port})
            if (RST{port}) kept_{port} <= 36'b0;
            else if (OCE{port}) kept_{port} <= read_{port};
    end else begin
        always @(posedge CLK{port} or posedge RST{port})
            if (RST{port}) read_{port} <= 36'b0;
            else if (reading_{port}) read_{port} <= next_{port};
        always @(posedge CLK{port} or posedge RST{port})
            if (RST{port}) kept_{port} <= 36'b0;
            else if (OCE{port}) kept_{port} <= read_{port};
    end endgenerate
    wire [35:0] out_{port} = REGMODE_{port} == "OUTREG" ? kept_{port} : read_{port};
"""
    return text + f"""
    // The wide read port is B in all that popmac builds.
    assign {{{_scalars('DOA', 18)}}} = DATA_WIDTH_B == 36 ? out_B[17:0] : out_A[17:0];
    assign {{{_scalars('DOB', 18)}}} = DATA_WIDTH_B == 36 ? out_B[35:18] : out_B[17:0];
endmodule
"""


def _mult18x18d():
    inputs = ["A", "B", "C", "SRIA", "SRIB"]
    ports  = [f"input {_scalars(name, 18)}" for name in inputs]
    ports += [f"input {name}{i}" for name in ("CLK", "CE", "RST") for i in range(4)]
    ports += ["input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB", f"output {_scalars('P', 36)}"]
    modes  = {"REG_INPUTA": "NONE", "REG_INPUTB": "NONE", "REG_INPUTC": "NONE",
              "REG_PIPELINE": "NONE", "REG_OUTPUT": "NONE"}
    parameters = "\n".join(
        f'    parameter {name}_CLK = "{default}", {name}_CE = "CE0", {name}_RST = "RST0";'
        for name, default in modes.items())
    stages = "\n".join(f"""
    reg {kind} {name} = 0;
    always @(posedge CLK0) if (RST0) {name} <= 0; else if (CE0) {name} <= {source};
    wire {kind} {name}_now = {mode}_CLK == "NONE" ? {source} : {name};
    generate if ({mode}_CLK != "NONE" && {mode}_CLK != "CLK0")
        mode_is_not_modelled error_{name}();
    endgenerate""" for kind, name, mode, source in [
        ("signed [18:0]", "a", "REG_INPUTA", "a_in"),
        ("signed [18:0]", "b", "REG_INPUTB", "b_in"),
        ("signed [37:0]", "product", "REG_PIPELINE", "a_now * b_now"),
        ("signed [37:0]", "result", "REG_OUTPUT", "product_now"),
    ])
    return f"""
module MULT18X18D({', '.join(ports)});
{parameters}
    parameter CLK0_DIV = "ENABLED", CLK1_DIV = "ENABLED", CLK2_DIV = "ENABLED",
              CLK3_DIV = "ENABLED", GSR = "ENABLED", SOURCEB_MODE = "B_SHIFT",
              RESETMODE = "SYNC", MULT_BYPASS = "DISABLED", CAS_MATCH_REG = "FALSE";
    wire signed [18:0] a_in = {{SIGNEDA & A17, {_scalars('A', 18)}}};
    wire signed [18:0] b_in = {{SIGNEDB & B17, {_scalars('B', 18)}}};
{stages}
    assign {{{_scalars('P', 36)}}} = result_now[35:0];
    generate if (RESETMODE != "SYNC" || MULT_BYPASS != "DISABLED")
        mode_is_not_modelled error();
    endgenerate
endmodule
"""
