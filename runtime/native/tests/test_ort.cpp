// Models, bound calls and runs, against a library that stands in for ONNX Runtime.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "fake_ort.hpp"
#include "lanes/runnable.hpp"
#include "ort_fixture.hpp"

namespace {

using omnilive::Chain;
using omnilive::Element;
using omnilive::OrtCall;
using omnilive::OrtModel;
using omnilive::OrtOptions;
using omnilive::OrtRun;
using omnilive::Runnable;
using omnilive::Tensor;
using omnilive::test::all_are;
using omnilive::test::check;
using omnilive::test::check_throws;
using omnilive::test::error_of;
using omnilive::test::host;
using omnilive::test::model;
using omnilive::test::tensor;

using Shape = std::vector<std::int64_t>;
using Bound = OrtCall::Bound;

void a_model_says_what_it_takes_and_gives() {
  const auto positives = model("positives");
  check(positives->inputs().size() == 1 && positives->outputs().size() == 2, "all of them");
  const omnilive::TensorSpec& x = positives->inputs()[0];
  check(x.name == "x" && x.element == Element::float32, "name and type");
  check(x.shape == Shape{-1, 3}, "shape, with what is free");
  check(x.axes == std::vector<std::string>{"rows", ""}, "and what that is called");
  const omnilive::TensorSpec& count = positives->outputs()[1];
  check(count.name == "count" && count.element == Element::int64 && count.shape.empty(), "scalar");
}

void options_reach_the_library() {
  const std::string always = "inter 1; severity 3; session.intra_op.allow_spinning=";
  model("increment");
  check(fake_ort::settings() == "intra 0; " + always + "0; no pattern; ", fake_ort::settings());
  model("increment", {.threads = 2,
                      .spinning = true,
                      .memory_arena = false,
                      .memory_pattern = true,
                      .affinity = "1;2"});
  check(fake_ort::settings() ==
            "intra 2; " + always + "1; session.intra_op_thread_affinities=1;2; no arena; ",
        fake_ort::settings());
}

void calls_that_share_a_tensor_hand_on_what_is_in_it() {
  const auto increment = model("increment");
  const auto from = tensor({2, 3}, 1);
  const auto between = tensor({2, 3});
  const auto to = tensor({2, 3});
  const void* const memory = between->data();
  Chain chain({std::make_shared<OrtCall>(increment, Bound{{"x", from}}, Bound{{"y", between}}),
               std::make_shared<OrtCall>(increment, Bound{{"x", between}}, Bound{{"y", to}})});
  chain.run();
  check(all_are(*between, 2) && all_are(*to, 3), "one each");
  check(between->data() == memory, "in the memory that both were given");
  std::ranges::fill(omnilive::test::numbers(*from), 7.0F);
  chain.run();
  check(all_are(*to, 9), "what is in the tensor then");
}

void a_call_keeps_what_it_needs() {
  const auto to = tensor({2, 3});
  {
    std::unique_ptr<Runnable> call = std::make_unique<OrtCall>(
        model("increment"), Bound{{"x", tensor({2, 3}, 4)}}, Bound{{"y", to}});
    call->run();
    check(all_are(*to, 5), "with nobody else holding model, library or input");
  }
  check(fake_ort::alive().empty(), "and lets go of it: " + fake_ort::alive());
  check(all_are(*to, 5), "but for what others hold");
}

void wrong_bindings_are_named() {
  const auto increment = model("increment");
  const auto right = tensor({2, 3});
  const auto longs = std::make_shared<Tensor>(Element::int64, Shape{2, 3});
  const auto says = [&](const Bound& inputs, const Bound& outputs, const std::string& words) {
    check_throws<std::invalid_argument>([&] { OrtCall(increment, inputs, outputs); }, words);
    const std::string said = error_of([&] { OrtCall(increment, inputs, outputs); });
    check(said == words, said + ", not " + words);
  };
  const Bound y{{"y", right}};
  says({}, y, "nothing is bound to x");
  says({{"x", right}}, {}, "nothing is bound to y");
  says({{"x", right}, {"z", right}}, y, "the model has no z");
  says({{"x", right}}, {{"y", right}, {"x", right}}, "the model has no x");
  says({{"x", tensor({3, 2})}}, y, "x is [2, 3] of type 1, not [3, 2] of type 1");
  says({{"x", tensor({6})}}, y, "x is [2, 3] of type 1, not [6] of type 1");
  says({{"x", tensor({2, 3, 1})}}, y, "x is [2, 3] of type 1, not [2, 3, 1] of type 1");
  says({{"x", longs}}, y, "x is [2, 3] of type 1, not [2, 3] of type 7");
  says({{"x", right}}, {{"y", longs}}, "y is [2, 3] of type 1, not [2, 3] of type 7");
}

void what_is_free_takes_any_size() {
  const auto positives = model("positives");
  const auto count = std::make_shared<Tensor>(Element::int64, Shape{});
  for (const std::int64_t rows : {0, 1, 5}) {
    OrtCall call(positives, {{"x", tensor({rows, 3}, 1)}},
                 {{"kept", tensor({rows, 3})}, {"count", count}});
    call.run();
    std::int64_t counted = -1;
    std::memcpy(&counted, count->data(), sizeof counted);
    check(counted == rows, "as many rows as there are");
  }
  check_throws<std::invalid_argument>(
      [&] {
        OrtCall(positives, {{"x", tensor({2, 4}, 1)}},
                {{"kept", tensor({2, 3})}, {"count", count}});
      },
      "but no other columns");
}

void a_run_finds_out_the_sizes_itself() {
  OrtRun run(model("positives"), {{"x", host({3, 3}, {1, 2, 3, -1, 0, 0, 4, 5, 6})}});
  check(run.outputs().empty(), "nothing before it");
  run.run();
  check(run.outputs().size() == 2 && run.outputs()[0].first == "kept", "by name");
  const std::shared_ptr<Tensor> kept = run.outputs()[0].second;
  check(kept->shape() == Shape{2, 3}, "as many as are positive");
  check(std::ranges::equal(omnilive::test::numbers(*kept), std::vector<float>{1, 2, 3, 4, 5, 6}),
        "which are these");
  check(run.outputs()[1].second->element() == Element::int64, "of their type");
  run.run();
  check(run.outputs().size() == 2 && run.outputs()[0].second != kept, "replaced by the next run");
  check(kept->shape() == Shape{2, 3}, "and kept by who holds them");

  OrtRun none(model("positives"), {{"x", host({1, 3}, {-1, 0, 0})}});
  none.run();
  check(none.outputs()[0].second->shape() == Shape{0, 3}, "none, too");
}

void a_run_that_fails_says_why_and_changes_nothing() {
  const auto positives = model("positives");
  const auto says = [&](OrtRun::Inputs inputs, const std::string& words) {
    OrtRun run(positives, std::move(inputs));
    const std::string said = error_of([&] { run.run(); });
    check(said == words, said + ", not " + words);
  };
  says({}, "Missing Input: x");
  says({{"z", host({1, 3}, {1, 2, 3})}}, "Invalid name: z");
  says({{"x", host({3}, {1, 2, 3})}}, "Invalid type or dimensions for: x");
  OrtRun run(positives, {{"x", host({1, 3}, {1, 2, 3})}});
  run.run();
  const auto before = run.outputs()[0].second;
  fake_ort::fail_at(2);
  check(error_of([&] { run.run(); }) == "call 2 fails", "the run itself");
  check(run.outputs()[0].second == before, "what came out before is still there");
  run.run();
  check(run.outputs()[0].second != before, "and it may run again");
}

void one_model_serves_several_threads() {
  constexpr int kThreads = 4;
  constexpr int kRounds = 50;
  const auto increment = model("increment");
  const auto positives = model("positives");
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, number = static_cast<float>(i)] {
        const auto from = tensor({2, 3}, number);
        const auto to = tensor({2, 3});
        for (int round = 0; round < kRounds; ++round) {
          OrtCall call(increment, {{"x", from}}, {{"y", to}});
          call.run();
          OrtRun run(positives, {{"x", host({1, 3}, {number + 1, 2, 3})}});
          run.run();
          const bool right = all_are(*to, number + 1) && run.outputs()[0].second->shape()[0] == 1;
          wrong += right ? 0 : 1;
        }
      });
    }
  }
  check(wrong == 0, "each its own numbers");
}

void one_call_is_bound_on_one_thread_and_run_on_another() {
  const auto to = tensor({2, 3});
  auto call = std::make_unique<OrtCall>(model("increment"), Bound{{"x", tensor({2, 3}, 1)}},
                                        Bound{{"y", to}});
  std::jthread([&] {
    call->run();
    call.reset();
  }).join();
  check(all_are(*to, 2), "it ran");
  check(fake_ort::alive().empty(), "let go of there: " + fake_ort::alive());
}

void a_tensor_is_zeroed_and_aligned_or_refused() {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{5, 0}, Shape{17}}) {
    const Tensor made(Element::float16, shape);
    const auto* bytes = static_cast<const unsigned char*>(made.data());
    check(reinterpret_cast<std::uintptr_t>(bytes) % 64 == 0, "aligned");
    check(std::all_of(bytes, bytes + made.bytes(), [](int byte) { return byte == 0; }), "zeroed");
  }
  check(Tensor(Element::int64, {2, 3}).bytes() == 48, "its size");
  const auto refused = [](Element element, const Shape& shape) {
    check_throws<std::invalid_argument>([&] { Tensor(element, shape); }, "refused");
  };
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  refused(Element::float32, {2, -1});
  refused(Element::uint8, {kMost, 4});
  refused(Element::int64, {std::int64_t{1} << 61});  // 2^64 bytes
  refused(Element::float16, {kMost});                // as many as there are but for two
  refused(static_cast<Element>(11), {1});
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"a model says what it takes and gives", a_model_says_what_it_takes_and_gives},
      {"options reach the library", options_reach_the_library},
      {"calls that share a tensor hand on what is in it",
       calls_that_share_a_tensor_hand_on_what_is_in_it},
      {"a call keeps what it needs", a_call_keeps_what_it_needs},
      {"wrong bindings are named", wrong_bindings_are_named},
      {"what is free takes any size", what_is_free_takes_any_size},
      {"a run finds out the sizes itself", a_run_finds_out_the_sizes_itself},
      {"a run that fails says why and changes nothing",
       a_run_that_fails_says_why_and_changes_nothing},
      {"one model serves several threads", one_model_serves_several_threads},
      {"one call is bound on one thread and run on another",
       one_call_is_bound_on_one_thread_and_run_on_another},
      {"a tensor is zeroed and aligned, or refused", a_tensor_is_zeroed_and_aligned_or_refused},
  });
}
