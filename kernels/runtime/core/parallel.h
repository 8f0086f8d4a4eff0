// Independent pieces of work on a few threads.
#pragma once

#include <cstddef>
#include <functional>

namespace edgekit {

// Calls work(0) to work(count - 1), some at once; throws what the first of them threw, by number. Where no more threads
// can be had the calling one does it all.
void in_parallel(size_t count, const std::function<void(size_t)> &work);

}  // namespace edgekit
