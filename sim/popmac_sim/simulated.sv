// Modules of the simulated board; see popmac_gateware/primitives/simulated.py.

module count_ones(input [15:0] bits, output [4:0] count);
  assign count = 5'($countones(bits));
endmodule

module block_ram #(
  parameter WIDTH, DEPTH, ADDRESS_BITS, PARTS
) (
  input                     clk,
  input  [ADDRESS_BITS-1:0] write_address,
  input  [PARTS-1:0]        write_enable,
  input  [WIDTH-1:0]        write_data,
  input  [ADDRESS_BITS-1:0] read_address,
  output reg [WIDTH-1:0]    read_data
);
  localparam PART = WIDTH / PARTS;
  reg [WIDTH-1:0] words [0:DEPTH-1];
  reg [WIDTH-1:0] read;

  always @(posedge clk) begin
    read_data <= read;
    read      <= words[read_address];
    for (int part = 0; part < PARTS; part = part + 1)
      if (write_enable[part])
        words[write_address][part*PART +: PART] <= write_data[part*PART +: PART];
  end
endmodule

module single_port_ram #(
  parameter WIDTH, DEPTH, ADDRESS_BITS
) (
  input                     clk,
  input  [ADDRESS_BITS-1:0] address,
  input  [WIDTH/8-1:0]      write_enable,
  input  [WIDTH-1:0]        write_data,
  output reg [WIDTH-1:0]    read_data
);
  reg [WIDTH-1:0] words [0:DEPTH-1];

  always @(posedge clk) begin
    if (write_enable == 0)
      read_data <= words[address];
    for (int part = 0; part < WIDTH / 8; part = part + 1)
      if (write_enable[part])
        words[address][part*8 +: 8] <= write_data[part*8 +: 8];
  end
endmodule
