package logging

import (
	"os"

	"golang.org/x/term"
)

func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
