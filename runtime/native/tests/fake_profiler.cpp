// A tool that NVTX 3 loads, as a profiler does: it counts the ranges of each thread. Layouts and
// numbers are those of NVTX 3's nvtxTypes.h, where tools find them.
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace {

using Entry = void (*)();

// Of the export table of callbacks (NVTX_ETID_CALLBACKS).
struct Callbacks {
  std::size_t struct_size;
  int (*function_table)(int module, Entry*** table, unsigned* size);
};
constexpr std::uint32_t kCallbacks = 1;
constexpr int kCoreModule = 1;       // NVTX_CB_MODULE_CORE
constexpr unsigned kRangePushA = 9;  // NVTX_CBID_CORE_RangePushA
constexpr unsigned kRangePop = 11;   // NVTX_CBID_CORE_RangePop

std::mutex mutex;
std::string told;
thread_local int depth = 0;

int push(const char* name) {
  const std::lock_guard lock(mutex);
  told += std::string("(") + name;
  return depth++;
}

// A range is popped by the thread that pushed it, or not at all.
int pop() {
  const std::lock_guard lock(mutex);
  told += depth > 0 ? ")" : "!";
  return --depth;
}

}  // namespace

extern "C" {

int InitializeInjectionNvtx2(const void* (*export_table)(std::uint32_t));
const char* fake_profiler_told();

int InitializeInjectionNvtx2(const void* (*export_table)(std::uint32_t)) {
  const auto* callbacks = static_cast<const Callbacks*>(export_table(kCallbacks));
  Entry** table = nullptr;
  unsigned size = 0;
  if (callbacks == nullptr || callbacks->function_table(kCoreModule, &table, &size) == 0 ||
      size <= kRangePop) {
    return 0;
  }
  *table[kRangePushA] = reinterpret_cast<Entry>(&push);
  *table[kRangePop] = reinterpret_cast<Entry>(&pop);
  return 1;
}

const char* fake_profiler_told() { return told.c_str(); }
}
