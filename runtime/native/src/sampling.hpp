// Chooses the next token from logits. It keeps nothing: the randomness is the number of the draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "philox.hpp"
#include "simd/isa.hpp"

namespace omnilive {

// What is done to the scores, in this order.
struct SamplingRule {
  double repetition_penalty;  // divides positive and multiplies other scores of the history; 1 off
  double temperature;         // divides the scores; 0 takes the likeliest
  std::size_t top_k;          // tokens kept; 0 keeps all
  double top_p;               // least probability mass kept
};

// Logits that are infinite or not a number.
class NotFiniteError : public std::domain_error {
 public:
  using std::domain_error::domain_error;
};

// The id of the next token. Equal scores rank by lower id. The penalty applies once to each id of
// `history`, in float32; weights are exp((score - best) / temperature) in double, added in order of
// rank. The token that crosses `top_p` is kept; one draw then falls on the weights kept.
// Throws NotFiniteError, or std::invalid_argument when there are no logits, an id of the history is
// none of theirs, or a rule is out of range: penalty above 0, temperature from 0 on, top_p in
// (0, 1].
std::int64_t sample_token(std::span<const float> logits, std::span<const std::int64_t> history,
                          const SamplingRule& rule, const Draw& draw, Isa isa = best_isa());

}  // namespace omnilive
