// ONNX Runtime's C API, as far as it is used here. The library is found at run time, so that the
// core builds without it and runs the one that the Python package brought.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace omnilive {

// Opaque things of the library.
struct OrtEnv;
struct OrtStatus;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtValue;
struct OrtTypeInfo;
struct OrtTensorInfo;
struct OrtSessionOptions;
struct OrtIoBinding;
struct OrtAllocator;
struct OrtRunOptions;

// The functions used, by the names the C API has for them. Each returns null or what went wrong,
// but for the releases and the two that read a status.
struct OrtFunctions {
  OrtStatus* (*create_status)(int, const char*);
  int (*get_error_code)(const OrtStatus*);
  const char* (*get_error_message)(const OrtStatus*);
  OrtStatus* (*create_env)(int, const char*, OrtEnv**);
  OrtStatus* (*create_session)(const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**);
  OrtStatus* (*run)(OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*,
                    std::size_t, const char* const*, std::size_t, OrtValue**);
  OrtStatus* (*create_session_options)(OrtSessionOptions**);
  OrtStatus* (*disable_mem_pattern)(OrtSessionOptions*);
  OrtStatus* (*disable_cpu_mem_arena)(OrtSessionOptions*);
  OrtStatus* (*set_log_severity)(OrtSessionOptions*, int);
  OrtStatus* (*set_intra_op_threads)(OrtSessionOptions*, int);
  OrtStatus* (*set_inter_op_threads)(OrtSessionOptions*, int);
  OrtStatus* (*get_input_count)(const OrtSession*, std::size_t*);
  OrtStatus* (*get_output_count)(const OrtSession*, std::size_t*);
  OrtStatus* (*get_input_type)(const OrtSession*, std::size_t, OrtTypeInfo**);
  OrtStatus* (*get_output_type)(const OrtSession*, std::size_t, OrtTypeInfo**);
  OrtStatus* (*get_input_name)(const OrtSession*, std::size_t, OrtAllocator*, char**);
  OrtStatus* (*get_output_name)(const OrtSession*, std::size_t, OrtAllocator*, char**);
  OrtStatus* (*create_tensor)(const OrtMemoryInfo*, void*, std::size_t, const std::int64_t*,
                              std::size_t, int, OrtValue**);
  OrtStatus* (*get_tensor_data)(OrtValue*, void**);
  OrtStatus* (*get_tensor_info)(const OrtValue*, OrtTensorInfo**);
  OrtStatus* (*as_tensor_info)(const OrtTypeInfo*, const OrtTensorInfo**);
  OrtStatus* (*get_element)(const OrtTensorInfo*, int*);
  OrtStatus* (*get_rank)(const OrtTensorInfo*, std::size_t*);
  OrtStatus* (*get_shape)(const OrtTensorInfo*, std::int64_t*, std::size_t);
  OrtStatus* (*get_axis_names)(const OrtTensorInfo*, const char**, std::size_t);
  OrtStatus* (*create_cpu_memory)(int, int, OrtMemoryInfo**);
  OrtStatus* (*allocator_free)(OrtAllocator*, void*);
  OrtStatus* (*get_default_allocator)(OrtAllocator**);
  OrtStatus* (*add_config)(OrtSessionOptions*, const char*, const char*);
  OrtStatus* (*run_binding)(OrtSession*, const OrtRunOptions*, const OrtIoBinding*);
  OrtStatus* (*create_binding)(OrtSession*, OrtIoBinding**);
  OrtStatus* (*bind_input)(OrtIoBinding*, const char*, const OrtValue*);
  OrtStatus* (*bind_output)(OrtIoBinding*, const char*, const OrtValue*);
  void (*release_env)(OrtEnv*);
  void (*release_status)(OrtStatus*);
  void (*release_memory)(OrtMemoryInfo*);
  void (*release_session)(OrtSession*);
  void (*release_value)(OrtValue*);
  void (*release_type)(OrtTypeInfo*);
  void (*release_tensor_info)(OrtTensorInfo*);
  void (*release_options)(OrtSessionOptions*);
  void (*release_binding)(OrtIoBinding*);
};

// The loaded library with its environment.
class OrtLibrary {
 public:
  // Loads the library at `path` and holds it against what is declared here: it must give the
  // table of the version asked for, and a status made by hand must read back as it was made, which
  // it would not were the table in another order. Throws std::runtime_error.
  static std::shared_ptr<const OrtLibrary> load(const std::string& path);

  ~OrtLibrary();
  OrtLibrary(const OrtLibrary&) = delete;
  OrtLibrary& operator=(const OrtLibrary&) = delete;

  [[nodiscard]] const OrtFunctions& call() const noexcept { return functions_; }
  [[nodiscard]] const std::string& version() const noexcept { return version_; }
  [[nodiscard]] const OrtEnv* env() const noexcept { return env_; }
  [[nodiscard]] const OrtMemoryInfo* cpu() const noexcept { return cpu_; }

  // Throws std::runtime_error with the library's words unless `status` is null; releases it.
  void check(OrtStatus* status) const;

 private:
  OrtLibrary() = default;
  void test() const;

  std::shared_ptr<void> handle_;
  OrtFunctions functions_{};
  std::string version_;
  OrtEnv* env_ = nullptr;
  OrtMemoryInfo* cpu_ = nullptr;
};

}  // namespace omnilive
