// The command line of telemetry and telemetry_lines.
#ifndef TELEMETRY_OPTIONS_H
#define TELEMETRY_OPTIONS_H

#include <string>

#include "machine.h"

struct GatewayOptions {
  MachineSettings machine;
  // A name of the bundle's thresholds or a number; empty: the bundle's own.
  std::string threshold;
  // Rows come on topics that this filter matches; what its wildcards stand for names the machine.
  std::string rows = "plant/+/rows";
  // {machine} stands for the name; `scores` may be empty: none are sent.
  std::string alarms = "plant/{machine}/alarms", scores;
  size_t max_machines = 64;
};

struct Options {
  std::string bundle;
  GatewayOptions gateway;
  int threads = 1;
  // Lines that telemetry_lines scores together.
  int together = 1;
  std::string host = "localhost", status = "plant/status", id, user;
  int port = 1883;
  int status_every = 10;   // seconds
  size_t max_queued = 1000;  // alarms that wait for the broker
};

// Ends the program for --help (0) and for what makes no sense (2).
Options read_options(int count, char **arguments);

#endif  // TELEMETRY_OPTIONS_H
