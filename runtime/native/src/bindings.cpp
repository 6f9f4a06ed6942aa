// The Python face of the native core: checks, views and conversions only, no arithmetic.
// Every call that does work releases the GIL for it and takes it back to build its result, unless
// it says otherwise.
#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "kernel_bindings.hpp"
#include "pcm_ring.hpp"
#include "quantize_bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace omnilive {
void bind_lanes(nb::module_& module);
void bind_ort(nb::module_& module);
}  // namespace omnilive

using omnilive::Dense;
using omnilive::Input;
using omnilive::size_from;
using omnilive::to_numpy;

namespace {

void ring_push(omnilive::PcmRing& ring, const Input<float, 1>& samples) {
  const nb::gil_scoped_release released;
  ring.push(Dense<float, 1>(samples).values());
}

nb::ndarray<nb::numpy, float> ring_read(const omnilive::PcmRing& ring, std::int64_t start_index,
                                        std::int64_t n) {
  const std::size_t start = size_from(start_index, "start_index");
  const std::size_t count = size_from(n, "n");
  std::vector<float> samples;
  try {
    const nb::gil_scoped_release released;
    samples = ring.read(start, count);
  } catch (const std::out_of_range& error) {
    // To Python a stream position that is gone is a wrong value, not the end of a sequence.
    throw nb::value_error(error.what());
  }
  return to_numpy(std::move(samples), {count});
}

}  // namespace

// Signatures and docstrings are in runtime/omnilive/_native.pyi.
NB_MODULE(_native, module) {
  // What is alive when the interpreter ends is the process's to free. The check that would tell of
  // it reads objects whose memory may be gone by then.
  nb::set_leak_warnings(false);
  omnilive::bind_lanes(module);
  omnilive::bind_ort(module);
  omnilive::bind_quantize(module);
  nb::class_<omnilive::PcmRing>(module, "PcmRing")
      .def(
          "__init__",
          [](omnilive::PcmRing* self, std::int64_t capacity) {
            new (self) omnilive::PcmRing(size_from(capacity, "capacity_samples"));
          },
          "capacity_samples"_a)
      .def("push", &ring_push, nb::arg("samples").noconvert())
      .def("read", &ring_read, "start_index"_a, "n"_a)
      .def_prop_ro("written", &omnilive::PcmRing::written)
      .def_prop_ro("oldest", &omnilive::PcmRing::oldest)
      .def("__len__", &omnilive::PcmRing::size);

  omnilive::bind_kernels(module);
}
