// Numbers in text, the same in every locale.
#pragma once

#include <string_view>

namespace edgekit {

// The text without spaces and the like around it.
std::string_view trimmed(std::string_view text);

// Decimal numbers, "inf" and "nan"; a number beyond float64 becomes infinite or 0. False if the text is no number.
bool to_number(std::string_view text, double &number);

}  // namespace edgekit
