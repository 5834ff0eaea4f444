//go:build race

package main

// slowdown is how much slower tests are under the race detector.
const slowdown = 5
