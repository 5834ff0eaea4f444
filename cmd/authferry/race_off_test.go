//go:build !race

package authferry

const slowdown = 1
