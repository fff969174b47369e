// bfloat16, the upper half of a float32: how activations may be stored. Nothing is computed in it; kernels widen what
// they read, sum in float32 and round what they write, once.
#pragma once

#include <cstdint>
#include <cstring>

namespace tithe {

struct bf16 {
    uint16_t bits;
};

inline float widen(float x) { return x; }
inline float widen(bf16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof(wide));
    return wide;
}

// x as it is stored in a T: the nearest, of two as near the even one; NaN stays NaN.
template <class T>
T narrow(float x);
template <>
inline float narrow<float>(float x) {
    return x;
}
template <>
inline bf16 narrow<bf16>(float x) {
    if (x != x) return {0x7fc0};
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

}  // namespace tithe
