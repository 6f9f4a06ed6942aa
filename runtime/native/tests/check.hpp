// The few lines of test runner the core needs: it depends on nothing, so it builds anywhere.
#pragma once

#include <exception>
#include <functional>
#include <initializer_list>
#include <iostream>
#include <stdexcept>
#include <string>

namespace omnilive::test {

// What a failed check throws; a test ends at its first one.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Where a check was written. The builtins, since Clang before 16 lacks std::source_location.
struct Place {
  const char* file;
  int line;
};

constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return {file, line};
}

inline void check(bool holds, const std::string& what, Place at = here()) {
  if (!holds) {
    throw Failure(what + " (" + at.file + ":" + std::to_string(at.line) + ")");
  }
}

template <typename Error>
void check_throws(const std::function<void()>& action, const std::string& what, Place at = here()) {
  try {
    action();
  } catch (const Error&) {
    return;
  }
  check(false, what, at);
}

// A test states the behaviour in its name.
struct Test {
  std::string behaviour;
  std::function<void()> run;
};

// Runs every test and returns the process's exit code.
inline int run_all(std::initializer_list<Test> tests) {
  int failed = 0;
  for (const Test& test : tests) {
    try {
      test.run();
      std::cout << "ok    " << test.behaviour << '\n';
    } catch (const std::exception& error) {
      ++failed;
      std::cout << "FAIL  " << test.behaviour << ": " << error.what() << '\n';
    }
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace omnilive::test
