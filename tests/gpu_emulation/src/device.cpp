/* The device: what it says of itself, its errors, and its memory, which is the host's.  Every
 * allocation has exactly the bytes asked for, so that the address sanitizer sees what goes beyond,
 * and is full of 0xff (NaN, -1) until written. */
#include "device.h"

#include <gpu/launch.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace
{

const size_t SHARED_BYTES = 48 << 10;        /* of a block, without asking */
const size_t SHARED_BYTES_OPTIN = 227 << 10; /* the most that can be asked for */
const int MAX_THREADS = 1024, MULTIPROCESSORS = 8;

struct allocation {
    size_t bytes;
    bool is_device, is_owned;
};

/* By the inverted address: the leak sanitizer, which looks for addresses, then finds device memory
 * that its owner has lost. */
std::map<uintptr_t, allocation> allocations;
size_t device_bytes, pinned_bytes; /* in use */
cudaError_t last_error = cudaSuccess;
int current_device;
std::map<const void *, size_t> optin_bytes; /* of a kernel: cudaFuncSetAttribute */

/* The allocation that holds p, or NULL; *within: how far in p is. */
const allocation *find(const void *p, size_t *within)
{
    uintptr_t address = reinterpret_cast<uintptr_t>(p);
    auto at = allocations.lower_bound(~address);
    if (at == allocations.end()) return nullptr;
    *within = address - ~at->first;
    return *within < at->second.bytes ? &at->second : nullptr;
}

bool is_device_memory(const void *p)
{
    size_t within;
    const allocation *a = find(p, &within);
    return a && a->is_device;
}

bool is_pageable(const void *p)
{
    size_t within;
    return !find(p, &within);
}

/* Whether [p, p + bytes) is memory of that side. */
bool is_valid(const void *p, size_t bytes, bool is_device)
{
    size_t within;
    const allocation *a = find(p, &within);
    if (!a) return !is_device && p;
    return a->is_device == is_device && bytes <= a->bytes - within;
}

size_t total_bytes()
{
    return gpu::environment_number("SPECREJ_EMULATION_MIB", 1024) << 20;
}

size_t most_pinned_bytes()
{
    return gpu::environment_number("SPECREJ_EMULATION_PINNED_MIB", 1 << 20) << 20;
}

/* All are alike, and share memory and streams. */
int device_count()
{
    return static_cast<int>(gpu::environment_number("SPECREJ_EMULATION_DEVICES", 1));
}

bool is_device(int device)
{
    return device >= 0 && device < device_count();
}

cudaError_t allocate(void **p, size_t bytes, bool is_device)
{
    if (!p) return cudaErrorInvalidValue;
    *p = nullptr;
    if (gpu::breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    if (bytes == 0) return cudaSuccess;
    size_t &in_use = is_device ? device_bytes : pinned_bytes;
    if (bytes > (is_device ? total_bytes() : most_pinned_bytes()) - in_use)
        return cudaErrorMemoryAllocation;
    if (posix_memalign(p, 256, bytes) != 0) return cudaErrorMemoryAllocation;
    memset(*p, 0xff, bytes);
    allocations[~reinterpret_cast<uintptr_t>(*p)] = {bytes, is_device, true};
    in_use += bytes;
    return cudaSuccess;
}

/* Waits for all work first, as the device does. */
cudaError_t release(void *p, bool is_device)
{
    if (!p) return cudaSuccess;
    if (gpu::breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    auto at = allocations.find(~reinterpret_cast<uintptr_t>(p));
    if (at == allocations.end() || at->second.is_device != is_device || !at->second.is_owned)
        return cudaErrorInvalidValue;
    gpu::finish_all();
    (is_device ? device_bytes : pinned_bytes) -= at->second.bytes;
    allocations.erase(at);
    free(p);
    return cudaSuccess;
}

/* The two sides of a copy; false: the direction is none. */
bool sides(cudaMemcpyKind kind, const void *dst, const void *src, bool *to_device,
           bool *from_device)
{
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return false;
    bool by_address = kind == cudaMemcpyDefault;
    *to_device = by_address ? is_device_memory(dst)
                            : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    *from_device = by_address ? is_device_memory(src)
                              : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return true;
}

struct copy {
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch, width, height;
};

void run_copy(const copy &c)
{
    for (size_t y = 0; y < c.height; y++)
        memmove(c.dst + y * c.dst_pitch, c.src + y * c.src_pitch, c.width);
}

/* Pageable memory of the host is read, and written, before the call returns. */
cudaError_t copy_2d(copy c, cudaMemcpyKind kind, cudaStream_t stream, bool is_synchronous)
{
    if (c.width == 0 || c.height == 0) return cudaSuccess;
    bool to_device, from_device;
    if (!sides(kind, c.dst, c.src, &to_device, &from_device))
        return cudaErrorInvalidMemcpyDirection;
    if (c.height > 1 && (c.dst_pitch < c.width || c.src_pitch < c.width))
        return cudaErrorInvalidValue;
    size_t dst_bytes = (c.height - 1) * c.dst_pitch + c.width;
    size_t src_bytes = (c.height - 1) * c.src_pitch + c.width;
    if (!is_valid(c.dst, dst_bytes, to_device) || !is_valid(c.src, src_bytes, from_device))
        return cudaErrorInvalidValue;
    if (is_synchronous && gpu::breaks_capture()) return cudaErrorStreamCaptureUnsupported;

    bool is_staged = !from_device && is_pageable(c.src) && !gpu::is_captured(stream);
    std::string staged(c.src, is_staged ? src_bytes : 0);
    cudaError_t error = gpu::submit(stream, [c, staged, is_staged] {
        copy now = c;
        if (is_staged) now.src = staged.data();
        run_copy(now);
        return true;
    });
    bool is_written_now = !to_device && is_pageable(c.dst) && !gpu::is_captured(stream);
    if (error == cudaSuccess && (is_synchronous || is_written_now)) gpu::finish(stream);
    return error;
}

cudaError_t fill(void *p, int byte, size_t bytes, cudaStream_t stream)
{
    if (bytes == 0) return cudaSuccess;
    if (!is_valid(p, bytes, true) && !is_valid(p, bytes, false)) return cudaErrorInvalidValue;
    return gpu::submit(stream, [=] {
        memset(p, byte, bytes);
        return true;
    });
}

struct error_text {
    cudaError_t error;
    const char *name, *text;
};

const error_text error_texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const error_text *find_text(cudaError_t error)
{
    for (const error_text &text : error_texts)
        if (text.error == error) return &text;
    return nullptr;
}

} // namespace

namespace gpu
{

uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    if (!text || !*text) return otherwise;
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end) fail("%s=%s is no number", name, text);
    return value;
}

void copy_16(void *to, const void *from)
{
    if (from)
        memcpy(to, from, 16);
    else
        memset(to, 0, 16);
}

int capability()
{
    return static_cast<int>(environment_number("SPECREJ_EMULATION_CAPABILITY", 90));
}

cudaError_t report(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
    return error;
}

void launch(kernel_launch l)
{
    const dim3 &grid = l.grid, &block = l.block;
    bool is_empty = !grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z;
    bool is_large = grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535 || block.z > 64 ||
                    block.x > MAX_THREADS || block.y > MAX_THREADS ||
                    block.x * block.y * block.z > MAX_THREADS;
    auto asked = optin_bytes.find(l.kernel);
    size_t limit = asked == optin_bytes.end() ? SHARED_BYTES : asked->second;
    if (is_empty || is_large) {
        report(cudaErrorInvalidConfiguration);
    } else if (l.shared_bytes > limit) {
        report(cudaErrorInvalidValue);
    } else {
        cudaStream_t stream = l.stream;
        report(submit(stream, [l = std::move(l)] {
            run_grid(l);
            return true;
        }));
    }
}

} // namespace gpu

using gpu::report;

/* ---- errors ---- */

const char *cudaGetErrorName(cudaError_t error)
{
    const error_text *text = find_text(error);
    return text ? text->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    const error_text *text = find_text(error);
    return text ? text->text : "unrecognized error code";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

/* ---- the device ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = device_count();
    return report(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return report(device_count() ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (!is_device(device)) return report(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned int)
{
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    if (!is_device(device)) return report(cudaErrorInvalidDevice);
    *p = {};
    snprintf(p->name, sizeof p->name, "emulated GPU");
    p->totalGlobalMem = total_bytes();
    p->sharedMemPerBlock = SHARED_BYTES;
    p->sharedMemPerBlockOptin = SHARED_BYTES_OPTIN;
    p->sharedMemPerMultiprocessor = 228 << 10;
    p->reservedSharedMemPerBlock = 1 << 10;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = MAX_THREADS;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = MAX_THREADS;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = INT32_MAX;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->major = gpu::capability() / 10;
    p->minor = gpu::capability() % 10;
    p->multiProcessorCount = MULTIPROCESSORS;
    p->maxThreadsPerMultiProcessor = 2048;
    p->maxBlocksPerMultiProcessor = 32;
    p->l2CacheSize = 1 << 20;
    p->memoryBusWidth = 64;
    p->concurrentKernels = p->unifiedAddressing = 1;
    p->pciBusID = device;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (!is_device(device)) return report(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = MAX_THREADS;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = SHARED_BYTES;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = SHARED_BYTES_OPTIN;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = 228 << 10;
        break;
    case cudaDevAttrWarpSize:
        *value = 32;
        break;
    case cudaDevAttrClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrMemoryClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *value = 64;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = MULTIPROCESSORS;
        break;
    case cudaDevAttrL2CacheSize:
        *value = 1 << 20;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = 2048;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = gpu::capability() / 10;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = gpu::capability() % 10;
        break;
    default:
        return report(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device)
{
    if (!is_device(device)) return report(cudaErrorInvalidDevice);
    if (length < 13) return report(cudaErrorInvalidValue);
    snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0", device & 255);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *total = total_bytes();
    *free_bytes = *total - device_bytes;
    return cudaSuccess;
}

/* ---- kernels ---- */

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    if (!kernel) return report(cudaErrorInvalidDeviceFunction);
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<size_t>(value) > SHARED_BYTES_OPTIN)
        return report(cudaErrorInvalidValue);
    optin_bytes[kernel] = static_cast<size_t>(value);
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *,
                                                          int block_threads, size_t shared_bytes)
{
    if (block_threads <= 0 || block_threads > MAX_THREADS || shared_bytes > SHARED_BYTES_OPTIN)
        return report(cudaErrorInvalidValue);
    int by_threads = 2048 / block_threads;
    int by_shared = static_cast<int>((228 << 10) / (shared_bytes + (1 << 10)));
    *blocks = std::min({by_threads, by_shared, 32});
    return cudaSuccess;
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    return report(allocate(p, bytes, true));
}

cudaError_t cudaFree(void *p)
{
    return report(release(p, true));
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return report(allocate(p, bytes, false));
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned int)
{
    return report(allocate(p, bytes, false));
}

cudaError_t cudaFreeHost(void *p)
{
    return report(release(p, false));
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned int)
{
    if (!p || !bytes) return report(cudaErrorInvalidValue);
    size_t within;
    if (find(p, &within)) return report(cudaErrorHostMemoryAlreadyRegistered);
    allocations[~reinterpret_cast<uintptr_t>(p)] = {bytes, false, false};
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *p)
{
    auto at = allocations.find(~reinterpret_cast<uintptr_t>(p));
    if (at == allocations.end() || at->second.is_owned)
        return report(cudaErrorHostMemoryNotRegistered);
    allocations.erase(at);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
    copy c = {static_cast<char *>(dst), static_cast<const char *>(src), bytes, bytes, bytes, 1};
    return report(copy_2d(c, kind, nullptr, true));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    copy c = {static_cast<char *>(dst), static_cast<const char *>(src), bytes, bytes, bytes, 1};
    return report(copy_2d(c, kind, stream, false));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                              size_t width_bytes, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    copy c = {static_cast<char *>(dst),
              static_cast<const char *>(src),
              dst_pitch,
              src_pitch,
              width_bytes,
              height};
    return report(copy_2d(c, kind, stream, false));
}

cudaError_t cudaMemset(void *p, int byte, size_t bytes)
{
    if (gpu::breaks_capture()) return report(cudaErrorStreamCaptureUnsupported);
    return report(fill(p, byte, bytes, nullptr));
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t stream)
{
    return report(fill(p, byte, bytes, stream));
}
