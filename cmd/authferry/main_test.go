package main

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"authferry/internal/config/configtest"
)

// TestMain adds the program to $PATH as authferry, for scripts and for tests that
// kill a process.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"authferry": main})
}

// leakChecked fails tests that leave goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	configtest.ClearEnvironment()
	if runtime.GOOS != "windows" && len(os.TempDir()) > 10 {
		// sun_path holds 103 bytes (unix(4)). Scripts take 92 of them below the
		// directory for temporary files, whose name takes 48 on macOS.
		os.Setenv("TMPDIR", "/tmp")
	}
	code := m.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
