package printable

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Panic describes a panic. Its value may contain a password or mail, so only that
// of runtime errors is shown: it is about indices and types.
func Panic(v any) error {
	what := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	return fmt.Errorf("a bug in authferry, please report it: panic: %s\n%s", what, debug.Stack())
}
