/* For the tests of the emulated GPU: cmocka in C++, device arrays, children that are to fail. */
#pragma once

#include "launch.cuh"
#include "ptx.cuh"

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#define CHECK(call) assert_int_equal(call, cudaSuccess)

/* n elements on the device. */
template <typename T> struct device_array {
    T *p = nullptr;
    size_t n;

    explicit device_array(size_t count) : n(count) { CHECK(cudaMalloc(&p, n * sizeof(T))); }
    explicit device_array(const std::vector<T> &from) : device_array(from.size())
    {
        CHECK(cudaMemcpy(p, from.data(), n * sizeof(T), cudaMemcpyHostToDevice));
    }
    device_array(const device_array &) = delete;
    ~device_array() { cudaFree(p); }

    std::vector<T> get() const
    {
        std::vector<T> to(n);
        CHECK(cudaMemcpy(to.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
        return to;
    }
};

/* Sets the seed of what is launched from now on. */
static inline void set_seed(int seed)
{
    setenv("SPECREJ_EMULATION_SEED", std::to_string(seed).c_str(), 1);
}

/* Whether the address sanitizer watches this build. */
#ifdef __SANITIZE_ADDRESS__
static const bool HAS_ADDRESS_SANITIZER = true;
#else
static const bool HAS_ADDRESS_SANITIZER = false;
#endif
