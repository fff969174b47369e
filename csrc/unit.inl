// Registers for one instruction set, and what a load of either way to store numbers brings. simd.inl and norm.inl include
// this file, with TITHE_INLINE defined beside their TITHE_TARGET and TITHE_LANES.

typedef float Wide __attribute__((vector_size(4 * TITHE_LANES)));

// memcpy is how C++ spells a load or store that need not be aligned; it becomes one instruction.
template <class V>
TITHE_INLINE V load(const void* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof(V));
    return v;
}

// Keeps what was loaded in a register. Left alone, the compiler loads a number again for each use, and loads are dear here.
#if TITHE_LANES == 1
#define TITHE_HOLD(v)
#elif defined(__aarch64__)
#define TITHE_HOLD(v) __asm__("" : "+w"(v))
#elif TITHE_LANES > 8
#define TITHE_HOLD(v) __asm__("" : "+v"(v))
#else
#define TITHE_HOLD(v) __asm__("" : "+x"(v))
#endif

// What one load brings, as floats in registers of type V, so that the loops below need not know how numbers are stored.
template <class T, class V>
struct Unit;

template <class V>
struct Unit<float, V> {
    static constexpr int size = sizeof(V) / sizeof(float);
    V all;

    TITHE_INLINE void hold() { TITHE_HOLD(all); }
    TITHE_INLINE static Unit of(float x) { return {x + V{}}; }
    TITHE_INLINE static Unit at(const float* from) { return {load<V>(from)}; }
    TITHE_INLINE static Unit at(const float* from, Words<V> keep) { return {(V)(load<Words<V>>(from) & keep)}; }
    TITHE_INLINE void add(Unit x) { all += x.all; }
    TITHE_INLINE void add(float weight, Unit x) { all += weight * x.all; }
    TITHE_INLINE void add(Unit x, Unit y) { all += x.all * y.all; }
    TITHE_INLINE void put(float* to) const { __builtin_memcpy(to, &all, sizeof(V)); }
    // f of these numbers and those beside them: f takes registers.
    template <class F, class... Units>
    TITHE_INLINE Unit with(const F& f, const Units&... beside) const {
        return {f(all, beside.all...)};
    }
    TITHE_INLINE V folded() const { return all; }
};

// Each 32-bit word that is loaded holds two numbers. As a float, a number has its 16 bits above and zeros below: one
// shift makes a register of the first ones of all words, one mask a register of the second ones.
template <class V>
struct Unit<bf16, V> {
    static constexpr int size = sizeof(V) / sizeof(bf16);
    V first, second;

    TITHE_INLINE void hold() {}  // taking words apart is dearer than keeping them: the compiler does
    TITHE_INLINE static Unit of(float x) { return {x + V{}, x + V{}}; }
    TITHE_INLINE static Unit split(Words<V> words) { return {(V)(words << 16), (V)(words & 0xffff0000u)}; }
    TITHE_INLINE static Unit at(const bf16* from) {
        Words<V> words = load<Words<V>>(from);
        TITHE_HOLD(words);
        return split(words);
    }
    TITHE_INLINE static Unit at(const bf16* from, Words<V> keep) { return split(load<Words<V>>(from) & keep); }
    TITHE_INLINE void add(Unit x) { first += x.first, second += x.second; }
    TITHE_INLINE void add(float weight, Unit x) { first += weight * x.first, second += weight * x.second; }
    TITHE_INLINE void add(Unit x, Unit y) { first += x.first * y.first, second += x.second * y.second; }
    TITHE_INLINE void put(bf16* to) const {
        const Words<V> words = rounded(first) >> 16 | (rounded(second) & 0xffff0000u);
        __builtin_memcpy(to, &words, sizeof(V));
    }
    template <class F, class... Units>
    TITHE_INLINE Unit with(const F& f, const Units&... beside) const {
        return {f(first, beside.first...), f(second, beside.second...)};
    }
    TITHE_INLINE V folded() const { return first + second; }

    // The upper half of each word is what `narrow` makes of the float.
    TITHE_INLINE static Words<V> rounded(V v) {
        const Words<V> bits = (Words<V>)v, nan = (Words<V>)(v != v);
        return ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan) | (nan & 0x7fc00000u);
    }
};

template <>
struct Unit<bf16, float> {
    static constexpr int size = 1;
    float all;

    TITHE_INLINE void hold() {}
    TITHE_INLINE static Unit of(float x) { return {x}; }
    TITHE_INLINE static Unit at(const bf16* from) { return {widen(*from)}; }
    TITHE_INLINE void add(float weight, Unit x) { all += weight * x.all; }
    TITHE_INLINE void add(Unit x, Unit y) { all += x.all * y.all; }
    TITHE_INLINE float folded() const { return all; }
    TITHE_INLINE void put(bf16* to) const { *to = narrow<bf16>(all); }
    template <class F, class... Units>
    TITHE_INLINE Unit with(const F& f, const Units&... beside) const {
        return {f(all, beside.all...)};
    }
};

#undef TITHE_HOLD
