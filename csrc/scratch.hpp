// Memory for one call: copies of activations, lists of places.
#pragma once

#include <cstdint>
#include <memory>

namespace tithe {

// Memory on cache-line borders, uninitialised. What is released is kept for the next call up to a limit: memory fresh from
// the system costs a page fault each 4 KiB, which takes longer than filling it.
void* borrow(size_t bytes);
void release(void* data, size_t bytes);

template <class T>
class Scratch {
  public:
    explicit Scratch(int64_t size)
        : data_(static_cast<T*>(borrow(bytes(size))), Release{bytes(size)}) {}
    T* get() { return data_.get(); }
    const T* get() const { return data_.get(); }
    T& operator[](int64_t i) { return data_.get()[i]; }

  private:
    static size_t bytes(int64_t size) { return static_cast<size_t>(size) * sizeof(T); }
    struct Release {
        size_t bytes;
        void operator()(T* data) const { release(data, bytes); }
    };
    std::unique_ptr<T, Release> data_;
};

}  // namespace tithe
