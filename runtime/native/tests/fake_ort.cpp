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

#include "ort/ort_library.hpp"

// The library's opaque things: this is the only one who knows what they are.
namespace omnilive {

struct OrtTensorInfo {
  int element;
  std::vector<std::int64_t> shape;
  std::vector<const char*> axes;
};
struct OrtTypeInfo {
  OrtTensorInfo tensor;
  bool is_tensor;
};
struct OrtStatus {
  int code;
  std::string message;
};
struct OrtEnv {};
struct OrtMemoryInfo {};
struct OrtAllocator {};
struct OrtSessionOptions {
  std::string text;
};
struct OrtValue {
  OrtTensorInfo info;
  std::unique_ptr<std::byte[]> own;  // empty for memory of the caller's
  void* data;
};

}  // namespace omnilive

namespace {

using namespace omnilive;

constexpr int kFloat = 1;
constexpr int kLong = 7;
constexpr int kDouble = 11;
constexpr int kFailed = 1;
constexpr std::int64_t kColumns = 3;

struct Port {
  const char* name;
  OrtTypeInfo type;
};

struct Description {
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

const std::map<std::string, Description>& models() {
  static const Port x{"x", {{kFloat, {2, kColumns}, {"", ""}}, true}};
  static const std::map<std::string, Description> known{
      {"increment", {{x}, {{"y", {{kFloat, {2, kColumns}, {"", ""}}, true}}}}},
      {"positives",
       {{{"x", {{kFloat, {-1, kColumns}, {"rows", ""}}, true}}},
        {{"kept", {{kFloat, {-1, kColumns}, {"kept", ""}}, true}},
         {"count", {{kLong, {}, {}}, true}}}}},
      {"sequence", {{x}, {{"list", {{0, {}, {}}, false}}}}},
      {"doubles", {{x}, {{"wide", {{kDouble, {}, {}}, true}}}}}};
  return known;
}

}  // namespace

namespace omnilive {

struct OrtSession {
  const Description* model;
};
struct OrtIoBinding {
  const Description* model;
  std::map<std::string, OrtValue*> inputs;
  std::map<std::string, OrtValue*> outputs;
};

}  // namespace omnilive

namespace {

// ---- counting -----------------------------------------------------------------------------------

// Relaxed, since an order between threads that they don't keep themselves would hide their races.
class Count {
 public:
  int add(int n) { return value_.fetch_add(n, std::memory_order_relaxed) + n; }
  void set(int n) { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] int get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int> value_{0};
};

template <typename Thing>
struct Kind;
#define KIND(type)                             \
  template <>                                  \
  struct Kind<type> {                          \
    static constexpr const char* name = #type; \
    static inline Count alive;                 \
  }
KIND(OrtEnv);
KIND(OrtMemoryInfo);
KIND(OrtSession);
KIND(OrtSessionOptions);
KIND(OrtIoBinding);
KIND(OrtValue);
KIND(OrtTypeInfo);
KIND(OrtTensorInfo);
KIND(OrtStatus);
KIND(char);  // names, from the allocator
#undef KIND

template <typename Thing>
Thing* made(Thing thing) {
  Kind<Thing>::alive.add(1);
  return std::make_unique<Thing>(std::move(thing)).release();
}

template <typename Thing>
void released(Thing* thing) {
  if (thing != nullptr) {
    Kind<Thing>::alive.add(-1);
    const std::unique_ptr<Thing> gone(thing);
  }
}

template <typename... Things>
std::string alive_of() {
  std::string text;
  const auto tell = [&text](const char* name, int count) {
    if (count != 0) {
      text += std::string(name) + " " + std::to_string(count) + " ";
    }
  };
  (tell(Kind<Things>::name, Kind<Things>::alive.get()), ...);
  return text;
}

constexpr std::size_t kEntries = 138;
std::array<Count, kEntries> called;
Count attempts;
Count failing;
Count newest{};
std::atomic<bool> shuffled{false};
std::string last_settings;  // written when a session is made, which tests do on one thread

OrtStatus* failed(std::string message) { return made<OrtStatus>({kFailed, std::move(message)}); }

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
  *env = made<OrtEnv>({});
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
  *session = made<OrtSession>({&model->second});
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
  Kind<char>::alive.add(1);
  *name = copy.release();
  return nullptr;
}

OrtStatus* default_allocator(OrtAllocator** allocator) {
  static OrtAllocator only;
  *allocator = &only;
  return nullptr;
}
OrtStatus* allocator_free(OrtAllocator*, void* name) {
  const std::unique_ptr<char[]> gone(static_cast<char*>(name));
  Kind<char>::alive.add(-1);
  return nullptr;
}

std::size_t count_in(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (const std::int64_t size : shape) {
    count *= static_cast<std::size_t>(size);
  }
  return count;
}
std::size_t bytes_of(const OrtTensorInfo& info) {
  return count_in(info.shape) * (info.element == kFloat ? 4 : 8);
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

// ---- running ------------------------------------------------------------------------------------

// Refuses what a port of this name does not take, as the library does.
OrtStatus* refusal(const std::vector<Port>& ports, const char* name, const OrtValue& value) {
  const auto port = std::ranges::find(ports, std::string_view(name),
                                      [](const Port& p) { return std::string_view(p.name); });
  if (port == ports.end()) {
    return failed(std::string("Invalid name: ") + name);
  }
  const OrtTensorInfo& wanted = port->type.tensor;
  const auto fits = [](std::int64_t size, std::int64_t w) { return w < 0 || size == w; };
  if (value.info.element != wanted.element ||
      !std::ranges::equal(value.info.shape, wanted.shape, fits)) {
    return failed(std::string("Invalid type or dimensions for: ") + name);
  }
  return nullptr;
}

OrtValue allocated(int element, std::vector<std::int64_t> shape) {
  OrtTensorInfo info{element, std::move(shape), {}};
  const std::size_t bytes = bytes_of(info);
  auto memory = std::make_unique<std::byte[]>(bytes);
  void* data = memory.get();
  return {std::move(info), std::move(memory), data};
}

// Computes a model's outputs, into what is given and otherwise into memory of its own.
OrtStatus* compute(const Description& model, const std::map<std::string, OrtValue*>& inputs,
                   const std::map<std::string, OrtValue*>& given, OrtValue** outputs) {
  for (const Port& port : model.inputs) {
    if (!inputs.contains(port.name)) {
      return failed(std::string("Missing Input: ") + port.name);
    }
  }
  const OrtValue& x = *inputs.at("x");
  const auto* from = static_cast<const float*>(x.data);
  const auto output = [&](std::size_t index, std::vector<std::int64_t> shape) -> OrtValue* {
    const auto found = given.find(model.outputs[index].name);
    if (found != given.end()) {
      return found->second->info.shape == shape ? found->second : nullptr;
    }
    const int element = model.outputs[index].type.tensor.element;
    return outputs[index] = made<OrtValue>(allocated(element, std::move(shape)));
  };
  if (&model == &models().at("increment")) {
    const OrtValue* y = output(0, x.info.shape);
    std::transform(from, from + count_in(x.info.shape), static_cast<float*>(y->data),
                   [](float number) { return number + 1; });
  } else if (&model == &models().at("positives")) {
    std::vector<float> kept;
    for (const float* row = from; row != from + count_in(x.info.shape); row += kColumns) {
      if (*row > 0) {
        kept.insert(kept.end(), row, row + kColumns);
      }
    }
    const auto rows = static_cast<std::int64_t>(kept.size()) / kColumns;
    const OrtValue* first = output(0, {rows, kColumns});
    if (first == nullptr) {
      return failed("Invalid dimensions of a given output");
    }
    std::copy(kept.begin(), kept.end(), static_cast<float*>(first->data));
    *static_cast<std::int64_t*>(output(1, {})->data) = rows;
  } else {
    output(0, {});
  }
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
  *binding = made<OrtIoBinding>({session->model, {}, {}});
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
    put<92>(&released<OrtEnv>);
    put<93>(&released<OrtStatus>);
    put<94>(&released<OrtMemoryInfo>);
    put<95>(&released<OrtSession>);
    put<96>(&released<OrtValue>);
    put<98>(&released<OrtTypeInfo>);
    put<99>(&released<OrtTensorInfo>);
    put<100>(&released<OrtSessionOptions>);
    add<130, &add_config>(&F::add_config, "AddSessionConfigEntry");
    add<133, &run_binding>(&F::run_binding, "RunWithBinding");
    add<134, &create_binding>(&F::create_binding, "CreateIoBinding");
    put<135>(&released<OrtIoBinding>);
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
  return alive_of<OrtEnv, OrtMemoryInfo, OrtSession, OrtSessionOptions, OrtIoBinding, OrtValue,
                  OrtTypeInfo, OrtTensorInfo, OrtStatus, char>();
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
