// A library with NVTX's two calls that writes down what it is told.
#include <mutex>
#include <string>

namespace {

std::mutex mutex;
std::string told;

}  // namespace

extern "C" {

int nvtxRangePushA(const char* name);
int nvtxRangePop();
const char* fake_nvtx_told();

int nvtxRangePushA(const char* name) {
  const std::lock_guard lock(mutex);
  told += std::string("(") + name;
  return 0;
}

int nvtxRangePop() {
  const std::lock_guard lock(mutex);
  told += ")";
  return 0;
}

const char* fake_nvtx_told() { return told.c_str(); }
}
