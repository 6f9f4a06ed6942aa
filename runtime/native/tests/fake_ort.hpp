// A library that stands in for ONNX Runtime: what tests set and read of it. It knows four models,
// by path:
//   increment  y = x + 1, float32 [2, 3]
//   positives  kept [kept, 3]: the rows of x [rows, 3] whose first number is positive;
//              count []: how many, int64
//   sequence   a model whose output is no tensor
//   doubles    a model whose output is of a type that is not passed, once it is run
// Its functions hold no lock, so that the thread sanitizer sees what callers leave unguarded.
#pragma once

#include <cstdint>
#include <string>

namespace fake_ort {

// The call that fails, counted over all that can, from 1; 0 lets all work. Counts anew from here.
void fail_at(int call);

// Calls that could have failed since then.
int calls();

// What is alive of all that was made, one "KIND N" each; "" when everything was released once.
std::string alive();

// Functions of the table that nobody has called since the start.
std::string never_called();

// What the newest session was set to, and the newest error status said.
std::string settings();

// The newest version of the C API that it serves.
void serve(std::uint32_t version);

// Whether the table is another than declared.
void shuffle(bool shuffled);

}  // namespace fake_ort
