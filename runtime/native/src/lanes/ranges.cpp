#include "lanes/ranges.hpp"

#include <dlfcn.h>

namespace omnilive {

Ranges::Ranges(const std::string& library) {
  void* handle = library.empty() ? nullptr : dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return;
  }
  handle_ = std::shared_ptr<void>(handle, [](void* opened) { dlclose(opened); });
  const auto push = reinterpret_cast<int (*)(const char*)>(dlsym(handle, "nvtxRangePushA"));
  const auto pop = reinterpret_cast<int (*)()>(dlsym(handle, "nvtxRangePop"));
  if (push != nullptr && pop != nullptr) {
    push_ = push;
    pop_ = pop;
  }
}

}  // namespace omnilive
