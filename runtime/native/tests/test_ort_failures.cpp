// What is made through ONNX Runtime's C API is released, whichever of its calls fails.
#include <memory>
#include <stdexcept>
#include <string>

#include "check.hpp"
#include "fake_ort.hpp"
#include "ort_fixture.hpp"

namespace {

using omnilive::OrtCall;
using omnilive::OrtLibrary;
using omnilive::OrtOptions;
using omnilive::OrtRun;
using omnilive::test::check;
using omnilive::test::check_throws;
using omnilive::test::error_of;
using omnilive::test::host;
using omnilive::test::kServed;
using omnilive::test::model;
using omnilive::test::tensor;

// Everything that is done with models, once.
void everything() {
  OrtOptions options;
  options.memory_arena = false;
  options.affinity = "1;2";
  const auto increment = model("increment", options);
  const auto between = tensor({2, 3});
  OrtCall first(increment, {{"x", tensor({2, 3})}}, {{"y", between}});
  OrtCall second(increment, {{"x", between}}, {{"y", tensor({2, 3})}});
  first.run();
  second.run();
  OrtRun run(model("positives"), {{"x", host({2, 3}, {1, 2, 3, -1, 5, 6})}});
  run.run();
  run.run();
}

void nothing_stays_whichever_call_fails() {
  fake_ort::fail_at(0);
  everything();
  const int calls = fake_ort::calls();
  check(fake_ort::alive().empty(), "alive after use: " + fake_ort::alive());
  check(fake_ort::never_called().empty(), "never called: " + fake_ort::never_called());
  check(calls > 50, "all that was seen");
  for (int call = 1; call <= calls; ++call) {
    fake_ort::fail_at(call);
    const std::string wanted = "call " + std::to_string(call) + " fails";
    const std::string said = error_of(everything);
    check(said == wanted, "the library's words: " + wanted + ", not " + said);
    check(fake_ort::calls() == call, "nothing is called after " + wanted);
    check(fake_ort::alive().empty(), "alive after " + wanted + ": " + fake_ort::alive());
  }
  fake_ort::fail_at(0);
  everything();
}

void other_libraries_are_refused() {
  const auto said = [] { return error_of([] { OrtLibrary::load(FAKE_ORT); }); };
  fake_ort::serve(kServed - 1);
  check(said() == "ONNX Runtime 1.0-fake has no C API 14", "one too old: " + said());
  fake_ort::serve(kServed);
  fake_ort::shuffle(true);
  check(said() == "ONNX Runtime 1.0-fake has another C API than declared", said());
  fake_ort::shuffle(false);
  check(said().empty(), "the right one is taken: " + said());
  fake_ort::serve(kServed + 1);
  check(said().empty(), "and a newer one: " + said());
  const auto without = error_of([] { OrtLibrary::load(NOT_ORT); });
  check(without.starts_with(std::string(NOT_ORT) + " is not ONNX Runtime: "), without);
  const auto missing = error_of([] { OrtLibrary::load("/no/such/library.so"); });
  check(missing.starts_with("cannot load /no/such/library.so: "), missing);
  check(fake_ort::alive().empty(), "alive: " + fake_ort::alive());
}

void models_that_cannot_be_are_refused() {
  check(error_of([] { model("missing"); }) == "no model at missing", "none there");
  check(error_of([] { model("sequence"); }) == "list is no tensor", "no tensor");
  check(fake_ort::alive().empty(), "alive: " + fake_ort::alive());
}

void an_output_of_another_type_is_refused() {
  OrtRun run(model("doubles"), {{"x", host({2, 3}, {1, 2, 3, 4, 5, 6})}});
  check_throws<std::invalid_argument>([&] { run.run(); }, "doubles are not passed");
  check(run.outputs().empty(), "nothing came out");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"nothing stays, whichever call fails", nothing_stays_whichever_call_fails},
      {"other libraries are refused", other_libraries_are_refused},
      {"models that cannot be are refused", models_that_cannot_be_are_refused},
      {"an output of another type is refused", an_output_of_another_type_is_refused},
  });
}
