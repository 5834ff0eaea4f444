package printable

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// panicError describes a panic. What was being typed or carried may be in its
// value, so only that of runtime errors is shown: they speak of indices and types.
func Panic(v any) error {
	what := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	return fmt.Errorf("a bug in authferry, please report it: panic: %s\n%s", what, debug.Stack())
}
