#include "ort/ort_library.hpp"

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace omnilive {

namespace {

// The version asked for. Every entry used is older, and a library serves all versions up to its
// own: entries are only ever appended.
constexpr std::uint32_t kApiVersion = 14;

constexpr int kLogErrors = 3;
constexpr int kArenaAllocator = 1;
constexpr int kDefaultMemory = 0;

using Entry = void (*)();

struct OrtApiBase {
  const Entry* (*get_api)(std::uint32_t);
  const char* (*get_version)();
};

// Where each function is in the table: its place in `struct OrtApi` of onnxruntime_c_api.h.
OrtFunctions functions_of(const Entry* table) {
  OrtFunctions f{};
  const auto at = [table]<typename Function>(Function& function, std::size_t index) {
    function = reinterpret_cast<Function>(table[index]);
  };
  at(f.create_status, 0);
  at(f.get_error_code, 1);
  at(f.get_error_message, 2);
  at(f.create_env, 3);
  at(f.create_session, 7);
  at(f.run, 9);
  at(f.create_session_options, 10);
  at(f.disable_mem_pattern, 17);
  at(f.disable_cpu_mem_arena, 19);
  at(f.set_log_severity, 22);
  at(f.set_intra_op_threads, 24);
  at(f.set_inter_op_threads, 25);
  at(f.get_input_count, 30);
  at(f.get_output_count, 31);
  at(f.get_input_type, 33);
  at(f.get_output_type, 34);
  at(f.get_input_name, 36);
  at(f.get_output_name, 37);
  at(f.create_tensor, 49);
  at(f.get_tensor_data, 51);
  at(f.as_tensor_info, 55);
  at(f.get_element, 60);
  at(f.get_rank, 61);
  at(f.get_shape, 62);
  at(f.get_axis_names, 63);
  at(f.get_tensor_info, 65);
  at(f.create_cpu_memory, 69);
  at(f.allocator_free, 76);
  at(f.get_default_allocator, 78);
  at(f.release_env, 92);
  at(f.release_status, 93);
  at(f.release_memory, 94);
  at(f.release_session, 95);
  at(f.release_value, 96);
  at(f.release_type, 98);
  at(f.release_tensor_info, 99);
  at(f.release_options, 100);
  at(f.add_config, 130);
  at(f.run_binding, 133);
  at(f.create_binding, 134);
  at(f.release_binding, 135);
  at(f.bind_input, 136);
  at(f.bind_output, 137);
  return f;
}

std::string dl_message() {
  const char* message = dlerror();
  return message != nullptr ? message : "unknown error";
}

}  // namespace

std::shared_ptr<const OrtLibrary> OrtLibrary::load(const std::string& path) {
  const std::shared_ptr<OrtLibrary> library(new OrtLibrary());
  // Never unmapped: threads that have run a model leave destructors of the library behind.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    throw std::runtime_error("cannot load " + path + ": " + dl_message());
  }
  library->handle_ = std::shared_ptr<void>(handle, [](void* opened) { dlclose(opened); });
  const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (base == nullptr) {
    throw std::runtime_error(path + " is not ONNX Runtime: " + dl_message());
  }
  library->version_ = base()->get_version();
  const Entry* table = base()->get_api(kApiVersion);
  if (table == nullptr) {
    throw std::runtime_error("ONNX Runtime " + library->version_ + " has no C API " +
                             std::to_string(kApiVersion));
  }
  library->functions_ = functions_of(table);
  library->test();
  library->check(library->functions_.create_env(kLogErrors, "omnilive", &library->env_));
  library->check(
      library->functions_.create_cpu_memory(kArenaAllocator, kDefaultMemory, &library->cpu_));
  return library;
}

OrtLibrary::~OrtLibrary() {
  if (cpu_ != nullptr) {
    functions_.release_memory(cpu_);
  }
  if (env_ != nullptr) {
    functions_.release_env(env_);
  }
}

void OrtLibrary::check(OrtStatus* status) const {
  if (status != nullptr) {
    const std::string message = functions_.get_error_message(status);
    functions_.release_status(status);
    throw std::runtime_error(message);
  }
}

void OrtLibrary::test() const {
  constexpr int kCode = 2;
  const std::string words = "as it was made";
  OrtStatus* status = functions_.create_status(kCode, words.c_str());
  const bool same =
      functions_.get_error_code(status) == kCode && functions_.get_error_message(status) == words;
  functions_.release_status(status);
  if (!same) {
    throw std::runtime_error("ONNX Runtime " + version_ + " has another C API than declared");
  }
}

}  // namespace omnilive
