// Package layout holds the rules of the source tree that CONTRIBUTING.md lists:
// imports run one way, and packages stay small.
package layout
