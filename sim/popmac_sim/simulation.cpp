// Runs a Verilated component with the members i: In(stream 8), o: Out(stream 8) and idle: Out(1)
// behind a link of bytes that takes some cycles for each byte.
//
// Everything on the link happens at exact cycles. While the component says that it is idle, and no
// byte is due, the clock is not simulated: time goes on, but nothing could change.

#include "Vboard.h"
#include "verilated.h"

#include <algorithm>
#include <cstdint>

namespace {

constexpr int64_t NEVER = INT64_MAX;

struct Board {
    VerilatedContext context;
    Vboard component{&context};
    int64_t cycles = 0;          // of time
    int64_t simulated = 0;       // of these, those that were not skipped
    int64_t input_due = NEVER;   // when the byte on its way to the component arrives
    int64_t output_due = NEVER;  // when the byte on its way to the host arrives
    uint8_t output = 0;

    void clock() {
        component.clk = 1;
        component.eval();
        component.clk = 0;
    }
};

}  // namespace

extern "C" {

// What a run is allowed, and what became of it. Mirrored in verilated.py.
struct Run {
    const uint8_t *input;      // bytes to send
    int64_t input_length;
    uint8_t *output;           // place for bytes received
    int64_t output_length;
    int64_t cycles_per_byte;
    int64_t until;             // cycle at which to stop
    int64_t effort;            // cycles to simulate, at most
    int64_t patience;          // cycles to go on after the first byte received, at most
    int64_t skip;              // whether to skip idle cycles
    // Results:
    int64_t sent;
    int64_t received;
    int64_t cycles;            // since the component was created
    int64_t simulated;
};

void *popmac_create() {
    Board *board = new Board;
    board->component.rst = 1;
    board->component.clk = 0;
    board->component.eval();
    board->clock();
    board->component.eval();
    board->component.rst = 0;
    return board;
}

void popmac_destroy(void *handle) {
    Board *board = static_cast<Board *>(handle);
    board->component.final();
    delete board;
}

// Returns when the place for bytes is full, when a limit is reached, or when bytes were received
// and nothing will happen before the host sends something.
void popmac_run(void *handle, Run *run) {
    Board &board = *static_cast<Board *>(handle);
    Vboard &c = board.component;
    const int64_t per_byte = run->cycles_per_byte;
    int64_t until = run->until;
    int64_t effort = run->effort;
    run->sent = run->received = 0;

    if (run->input_length > 0 && board.input_due == NEVER) {
        board.input_due = board.cycles + per_byte;
    }
    while (true) {
        if (board.cycles >= board.output_due) {
            if (run->received == 0) until = std::min(until, board.cycles + run->patience);
            run->output[run->received++] = board.output;
            board.output_due = NEVER;
        }
        if (board.cycles >= until || effort == 0 || run->received == run->output_length) break;

        const bool offered = board.cycles >= board.input_due;
        const bool accepting = board.output_due == NEVER;
        c.i___05Fvalid = offered;
        c.i___05Fpayload = offered ? run->input[run->sent] : 0;
        c.o___05Fready = accepting;
        c.eval();
        const bool sent = offered && c.i___05Fready;
        const bool received = accepting && c.o___05Fvalid;
        const uint8_t byte = c.o___05Fpayload;

        if (c.idle && !sent && !received) {
            const int64_t due = std::min(offered ? NEVER : board.input_due, board.output_due);
            if (due == NEVER && run->received > 0) break;
            if (run->skip) {
                board.cycles = std::min(due, until);
                continue;
            }
        }
        board.clock();
        board.cycles++;
        board.simulated++;
        effort--;
        if (sent) {
            run->sent++;
            board.input_due = run->sent < run->input_length ? board.cycles - 1 + per_byte : NEVER;
        }
        if (received) {
            board.output = byte;
            board.output_due = board.cycles - 1 + per_byte;
        }
    }
    run->cycles = board.cycles;
    run->simulated = board.simulated;
}

}  // extern "C"
