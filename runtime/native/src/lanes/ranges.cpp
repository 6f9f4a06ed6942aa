#include "lanes/ranges.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace omnilive {

Ranges::Ranges(const std::string& libraries) {
  for (std::size_t at = 0; at < libraries.size() && !found();) {
    const std::size_t end = std::min(libraries.find(':', at), libraries.size());
    open(libraries.substr(at, end - at));
    at = end + 1;
  }
}

void Ranges::open(const std::string& library) {
  // Never unmapped: a profiler that the library has loaded keeps pointers into it.
  constexpr int kMode = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
  // By an empty name, the program itself would be opened.
  void* opened = library.empty() ? nullptr : dlopen(library.c_str(), kMode);
  if (opened == nullptr) {
    return;
  }
  std::shared_ptr<void> handle(opened, [](void* h) { dlclose(h); });
  const auto push = reinterpret_cast<int (*)(const char*)>(dlsym(opened, "nvtxRangePushA"));
  const auto pop = reinterpret_cast<int (*)()>(dlsym(opened, "nvtxRangePop"));
  if (push == nullptr || pop == nullptr) {
    return;
  }
  handle_ = std::move(handle);
  push_ = push;
  pop_ = pop;
}

}  // namespace omnilive
