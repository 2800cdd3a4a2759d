// Runs a Verilated component with the members i: In(stream 8), o: Out(stream 8) and idle: Out(1)
// behind a link of bytes that takes some cycles for each byte.
//
// Everything on the link happens at exact cycles. While the component says that it is idle, and no
// byte is due, the clock is not simulated: time goes on, but nothing could change.

//
// With POPMAC_RECORD, and if the component has busy: Out(1), its signals can be recorded.

#include "Vboard.h"
#include "verilated.h"
#ifdef POPMAC_RECORD
#include "verilated_vcd_c.h"
#endif

#include <algorithm>
#include <cstdint>

namespace {

constexpr int64_t NEVER = INT64_MAX;

#ifdef POPMAC_RECORD
// Writes all signals during some cycles from when busy is asserted.
struct Recorder {
    VerilatedVcdC file;
    int64_t first = NEVER;
    int64_t last = NEVER;
    uint64_t half = 0;  // of a cycle, in the file's unit
    int64_t cycle = -1; // since then

    // Before the edge that begins a cycle, and behind it.
    void before(const Vboard &component) {
        if (cycle >= 0 || component.busy) cycle++;
        if (wanted()) file.dump(2 * half * cycle + half);
    }
    void behind() {
        if (!wanted()) return;
        file.dump(2 * half * (cycle + 1));
    }
    bool wanted() const { return file.isOpen() && first <= cycle && cycle <= last; }
};
#endif

struct Board {
    VerilatedContext context;
    Vboard component{&context};
    int64_t cycles = 0;          // of time
    int64_t simulated = 0;       // of these, those that were not skipped
    int64_t input_due = NEVER;   // when the byte on its way to the component arrives
    int64_t output_due = NEVER;  // when the byte on its way to the host arrives
    uint8_t output = 0;
#ifdef POPMAC_RECORD
    Recorder recorder;
#endif

    void clock() {
#ifdef POPMAC_RECORD
        recorder.before(component);
#endif
        component.clk = 1;
        component.eval();
#ifdef POPMAC_RECORD
        recorder.behind();
#endif
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
#ifdef POPMAC_RECORD
    board->context.traceEverOn(true);
    board->component.trace(&board->recorder.file, 99);
#endif
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

#ifdef POPMAC_RECORD
// Records the cycles from first to last since the next run begins; half is half a cycle in
// picoseconds. The file is complete after popmac_record_end.
void popmac_record(void *handle, const char *path, int64_t first, int64_t last, uint64_t half) {
    Recorder &recorder = static_cast<Board *>(handle)->recorder;
    recorder.first = first;
    recorder.last = last;
    recorder.half = half;
    recorder.cycle = -1;
    recorder.file.set_time_resolution("ps");
    recorder.file.open(path);
}

void popmac_record_end(void *handle) {
    static_cast<Board *>(handle)->recorder.file.close();
}
#endif

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
