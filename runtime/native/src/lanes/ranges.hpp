// NVTX ranges: what a profiler of NVIDIA's shows of the host's threads. Nothing without a library
// that has NVTX's calls, which CUDA brings; its headers are not needed.
#pragma once

#include <memory>
#include <string>

namespace omnilive {

// Marks what a thread does, if the profiler's library is there; costs nothing otherwise.
class Ranges {
 public:
  // Takes the first library that is there and has NVTX's calls, of names or paths with colons
  // between them; of "" none.
  explicit Ranges(const std::string& libraries);

  [[nodiscard]] bool found() const noexcept { return push_ != nullptr; }

  // A range of the calling thread, from here to the end of the scope.
  class Scope {
   public:
    Scope(const Ranges& ranges, const char* name) : pop_(ranges.pop_) {
      if (ranges.push_ != nullptr) {
        ranges.push_(name);
      }
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() {
      if (pop_ != nullptr) {
        pop_();
      }
    }

   private:
    int (*pop_)();
  };

 private:
  // Takes this library, unless it is not there or another's.
  void open(const std::string& library);

  std::shared_ptr<void> handle_;
  int (*push_)(const char*) = nullptr;
  int (*pop_)() = nullptr;
};

}  // namespace omnilive
