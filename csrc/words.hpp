// A register's bits, for unit.inl.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tithe {

// A register of 32-bit words, as wide as a register V of floats.
template <size_t bytes>
struct WordsOf;
#define TITHE_WORDS(bytes)                                                  \
    template <>                                                             \
    struct WordsOf<bytes> {                                                 \
        typedef uint32_t type __attribute__((vector_size(bytes), may_alias)); \
    }
TITHE_WORDS(4);
TITHE_WORDS(8);
TITHE_WORDS(16);
TITHE_WORDS(32);
TITHE_WORDS(64);
#undef TITHE_WORDS
template <class V>
using Words = typename WordsOf<sizeof(V)>::type;

}  // namespace tithe
