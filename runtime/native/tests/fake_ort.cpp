#include "fake_ort.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_ort_models.hpp"
#include "fake_ort_things.hpp"
#include "ort/ort_library.hpp"

namespace {

using namespace omnilive;
using namespace fake_ort;

constexpr std::size_t kEntries = 138;
std::array<Count, kEntries> called;
Count attempts;
Count failing;
Count newest;
std::atomic<bool> shuffled{false};
std::string last_settings;  // written when a session is made, which tests do on one thread

// One function of the table; each counts its calls under its place there.
template <std::size_t place, auto function>
struct Fallible;
template <std::size_t place, typename... Args, OrtStatus* (*function)(Args...)>
struct Fallible<place, function> {
  static OrtStatus* call(Args... args) {
    called[place].add(1);
    const int attempt = attempts.add(1);
    if (attempt == failing.get()) {
      return failed("call " + std::to_string(attempt) + " fails");
    }
    return function(args...);
  }
};

// ---- the functions ------------------------------------------------------------------------------

OrtStatus* create_status(int code, const char* message) {
  return made<OrtStatus>({shuffled ? code + 1 : code, message});
}
int get_error_code(const OrtStatus* status) { return status->code; }
const char* get_error_message(const OrtStatus* status) { return status->message.c_str(); }

OrtStatus* create_env(int, const char*, OrtEnv** env) {
  *env = made<OrtEnv>({std::make_shared<Count>()});
  return nullptr;
}

OrtStatus* create_memory(int, int, OrtMemoryInfo** memory) {
  *memory = made<OrtMemoryInfo>({});
  return nullptr;
}

OrtStatus* create_options(OrtSessionOptions** options) {
  *options = made<OrtSessionOptions>({});
  return nullptr;
}
OrtStatus* set(OrtSessionOptions* options, const std::string& text) {
  options->text += text + "; ";
  return nullptr;
}
OrtStatus* no_pattern(OrtSessionOptions* options) { return set(options, "no pattern"); }
OrtStatus* no_arena(OrtSessionOptions* options) { return set(options, "no arena"); }
OrtStatus* severity(OrtSessionOptions* options, int least) {
  return set(options, "severity " + std::to_string(least));
}
OrtStatus* intra(OrtSessionOptions* options, int threads) {
  return set(options, "intra " + std::to_string(threads));
}
OrtStatus* inter(OrtSessionOptions* options, int threads) {
  return set(options, "inter " + std::to_string(threads));
}
OrtStatus* add_config(OrtSessionOptions* options, const char* key, const char* value) {
  return set(options, std::string(key) + "=" + value);
}

OrtStatus* create_session(const OrtEnv* env, const char* path, const OrtSessionOptions* options,
                          OrtSession** session) {
  const auto model = models().find(path);
  if (env == nullptr || model == models().end()) {
    return failed(std::string("no model at ") + path);
  }
  last_settings = options->text;
  env->sessions->add(1);
  *session = made<OrtSession>({&model->second, env->sessions, std::make_shared<Count>()});
  return nullptr;
}

template <auto ports>
OrtStatus* count_of(const OrtSession* session, std::size_t* count) {
  *count = (session->model->*ports).size();
  return nullptr;
}
template <auto ports>
OrtStatus* type_of(const OrtSession* session, std::size_t index, OrtTypeInfo** type) {
  *type = made<OrtTypeInfo>(OrtTypeInfo((session->model->*ports).at(index).type));
  return nullptr;
}
template <auto ports>
OrtStatus* name_of(const OrtSession* session, std::size_t index, OrtAllocator*, char** name) {
  const std::string_view known = (session->model->*ports).at(index).name;
  auto copy = std::make_unique<char[]>(known.size() + 1);
  known.copy(copy.get(), known.size());
  alive_count<char>.add(1);
  *name = copy.release();
  return nullptr;
}

// What the library would not survive, or not notice: something is released before its users.
void nobody_uses(const Count& users) {
  if (users.get() != 0) {
    std::abort();
  }
}
void release_env(OrtEnv* env) {
  nobody_uses(*env->sessions);
  released(env);
}
void release_session(OrtSession* session) {
  nobody_uses(*session->bindings);
  session->env->add(-1);
  released(session);
}
void release_binding(OrtIoBinding* binding) {
  binding->session->add(-1);
  released(binding);
}

OrtStatus* default_allocator(OrtAllocator** allocator) {
  static OrtAllocator only;
  *allocator = &only;
  return nullptr;
}
OrtStatus* allocator_free(OrtAllocator*, void* name) {
  const std::unique_ptr<char[]> gone(static_cast<char*>(name));
  alive_count<char>.add(-1);
  return nullptr;
}

OrtStatus* create_tensor(const OrtMemoryInfo* memory, void* data, std::size_t bytes,
                         const std::int64_t* shape, std::size_t rank, int element,
                         OrtValue** value) {
  OrtTensorInfo info{element, {shape, shape + rank}, {}};
  if (memory == nullptr || bytes < bytes_of(info)) {
    return failed("too little memory for a tensor");
  }
  *value = made<OrtValue>({std::move(info), nullptr, data});
  return nullptr;
}
OrtStatus* tensor_data(OrtValue* value, void** data) {
  *data = value->data;
  return nullptr;
}
OrtStatus* tensor_info(const OrtValue* value, OrtTensorInfo** info) {
  *info = made<OrtTensorInfo>(OrtTensorInfo(value->info));
  return nullptr;
}
OrtStatus* as_tensor(const OrtTypeInfo* type, const OrtTensorInfo** info) {
  *info = type->is_tensor ? &type->tensor : nullptr;
  return nullptr;
}
OrtStatus* element_of(const OrtTensorInfo* info, int* element) {
  *element = info->element;
  return nullptr;
}
OrtStatus* rank_of(const OrtTensorInfo* info, std::size_t* rank) {
  *rank = info->shape.size();
  return nullptr;
}
OrtStatus* shape_of(const OrtTensorInfo* info, std::int64_t* shape, std::size_t rank) {
  std::copy_n(info->shape.begin(), std::min(rank, info->shape.size()), shape);
  return nullptr;
}
OrtStatus* axes_of(const OrtTensorInfo* info, const char** axes, std::size_t rank) {
  std::copy_n(info->axes.begin(), std::min(rank, info->axes.size()), axes);
  return nullptr;
}

OrtStatus* run(OrtSession* session, const OrtRunOptions*, const char* const* input_names,
               const OrtValue* const* inputs, std::size_t input_count,
               const char* const* output_names, std::size_t output_count, OrtValue** outputs) {
  std::map<std::string, OrtValue*> fed;
  for (std::size_t i = 0; i < input_count; ++i) {
    if (OrtStatus* status = refusal(session->model->inputs, input_names[i], *inputs[i])) {
      return status;
    }
    fed[input_names[i]] = const_cast<OrtValue*>(inputs[i]);
  }
  const auto same = [](const char* name, const Port& port) {
    return std::string_view(name) == port.name;
  };
  if (!std::equal(output_names, output_names + output_count, session->model->outputs.begin(),
                  session->model->outputs.end(), same)) {
    return failed("other outputs than the model's");
  }
  return compute(*session->model, fed, {}, outputs);
}

OrtStatus* create_binding(OrtSession* session, OrtIoBinding** binding) {
  session->bindings->add(1);
  *binding = made<OrtIoBinding>({session->model, session->bindings, {}, {}});
  return nullptr;
}
template <auto ports, auto bound>
OrtStatus* bind(OrtIoBinding* binding, const char* name, const OrtValue* value) {
  (binding->*bound)[name] = const_cast<OrtValue*>(value);
  return refusal(binding->model->*ports, name, *value);
}
OrtStatus* run_binding(OrtSession* session, const OrtRunOptions*, const OrtIoBinding* binding) {
  if (binding->outputs.size() != session->model->outputs.size()) {
    return failed("an output is not bound");
  }
  return compute(*session->model, binding->inputs, binding->outputs, nullptr);
}

// ---- the table ----------------------------------------------------------------------------------

using Entry = void (*)();

void not_served() { std::abort(); }

// Where each function is in the library's table: its place in `struct OrtApi` of
// onnxruntime_c_api.h. The types are those that the code under test calls them by.
struct Table {
  std::array<Entry, kEntries> entries;
  std::map<std::size_t, std::string> fallible;

  template <std::size_t place, typename Function>
  void put(Function function) {
    entries[place] = reinterpret_cast<Entry>(function);
  }
  template <std::size_t place, auto function, typename Declared>
  void add(Declared OrtFunctions::*, const char* name) {
    const Declared checked = &Fallible<place, function>::call;
    put<place>(checked);
    fallible[place] = name;
  }

  Table() {
    constexpr auto in = &Description::inputs;
    constexpr auto out = &Description::outputs;
    using F = OrtFunctions;
    entries.fill(&not_served);
    put<0>(&create_status);
    put<1>(&get_error_code);
    put<2>(&get_error_message);
    add<3, &create_env>(&F::create_env, "CreateEnv");
    add<7, &create_session>(&F::create_session, "CreateSession");
    add<9, &run>(&F::run, "Run");
    add<10, &create_options>(&F::create_session_options, "CreateSessionOptions");
    add<17, &no_pattern>(&F::disable_mem_pattern, "DisableMemPattern");
    add<19, &no_arena>(&F::disable_cpu_mem_arena, "DisableCpuMemArena");
    add<22, &severity>(&F::set_log_severity, "SetSessionLogSeverityLevel");
    add<24, &intra>(&F::set_intra_op_threads, "SetIntraOpNumThreads");
    add<25, &inter>(&F::set_inter_op_threads, "SetInterOpNumThreads");
    add<30, &count_of<in>>(&F::get_input_count, "SessionGetInputCount");
    add<31, &count_of<out>>(&F::get_output_count, "SessionGetOutputCount");
    add<33, &type_of<in>>(&F::get_input_type, "SessionGetInputTypeInfo");
    add<34, &type_of<out>>(&F::get_output_type, "SessionGetOutputTypeInfo");
    add<36, &name_of<in>>(&F::get_input_name, "SessionGetInputName");
    add<37, &name_of<out>>(&F::get_output_name, "SessionGetOutputName");
    add<49, &create_tensor>(&F::create_tensor, "CreateTensorWithDataAsOrtValue");
    add<51, &tensor_data>(&F::get_tensor_data, "GetTensorMutableData");
    add<55, &as_tensor>(&F::as_tensor_info, "CastTypeInfoToTensorInfo");
    add<60, &element_of>(&F::get_element, "GetTensorElementType");
    add<61, &rank_of>(&F::get_rank, "GetDimensionsCount");
    add<62, &shape_of>(&F::get_shape, "GetDimensions");
    add<63, &axes_of>(&F::get_axis_names, "GetSymbolicDimensions");
    add<65, &tensor_info>(&F::get_tensor_info, "GetTensorTypeAndShape");
    add<69, &create_memory>(&F::create_cpu_memory, "CreateCpuMemoryInfo");
    put<76>(&allocator_free);  // as a release, it cannot fail
    add<78, &default_allocator>(&F::get_default_allocator, "GetAllocatorWithDefaultOptions");
    put<92>(&release_env);
    put<93>(&released<OrtStatus>);
    put<94>(&released<OrtMemoryInfo>);
    put<95>(&release_session);
    put<96>(&released<OrtValue>);
    put<98>(&released<OrtTypeInfo>);
    put<99>(&released<OrtTensorInfo>);
    put<100>(&released<OrtSessionOptions>);
    add<130, &add_config>(&F::add_config, "AddSessionConfigEntry");
    add<133, &run_binding>(&F::run_binding, "RunWithBinding");
    add<134, &create_binding>(&F::create_binding, "CreateIoBinding");
    put<135>(&release_binding);
    add<136, &bind<in, &OrtIoBinding::inputs>>(&F::bind_input, "BindInput");
    add<137, &bind<out, &OrtIoBinding::outputs>>(&F::bind_output, "BindOutput");
  }
};

const Table& table() {
  static const Table only;
  return only;
}

const Entry* get_api(std::uint32_t version) {
  return static_cast<int>(version) <= newest.get() ? table().entries.data() : nullptr;
}

const char* get_version() { return "1.0-fake"; }

struct OrtApiBase {
  const Entry* (*get_api)(std::uint32_t);
  const char* (*get_version)();
};

}  // namespace

extern "C" {
const OrtApiBase* OrtGetApiBase();
const OrtApiBase* OrtGetApiBase() {
  static const OrtApiBase base{&get_api, &get_version};
  return &base;
}
}

namespace fake_ort {

void fail_at(int call) {
  attempts.set(0);
  failing.set(call);
}

int calls() { return attempts.get(); }

std::string alive() {
  std::string text;
  const auto tell = [&text](const char* name, const Count& count) {
    if (count.get() != 0) {
      text += std::string(name) + " " + std::to_string(count.get()) + " ";
    }
  };
  tell("OrtEnv", alive_count<OrtEnv>);
  tell("OrtMemoryInfo", alive_count<OrtMemoryInfo>);
  tell("OrtSession", alive_count<OrtSession>);
  tell("OrtSessionOptions", alive_count<OrtSessionOptions>);
  tell("OrtIoBinding", alive_count<OrtIoBinding>);
  tell("OrtValue", alive_count<OrtValue>);
  tell("OrtTypeInfo", alive_count<OrtTypeInfo>);
  tell("OrtTensorInfo", alive_count<OrtTensorInfo>);
  tell("OrtStatus", alive_count<OrtStatus>);
  tell("name", alive_count<char>);
  return text;
}

std::string never_called() {
  std::string text;
  for (const auto& [place, name] : table().fallible) {
    if (called[place].get() == 0) {
      text += name + " ";
    }
  }
  return text;
}

std::string settings() { return last_settings; }

void serve(std::uint32_t version) { newest.set(static_cast<int>(version)); }

void shuffle(bool other) { shuffled = other; }

}  // namespace fake_ort
