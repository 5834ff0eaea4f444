package alert

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play the administrator's program.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "play" {
		os.Exit(play(os.Args[2], os.Args[3:]))
	}
	goleak.VerifyTestMain(m)
}

func play(part string, args []string) int {
	switch part {
	case "record": // what it is given
		input, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 1
		}
		text := fmt.Sprintf("%s%s\n", input, strings.Join(os.Environ(), "\n"))
		if os.WriteFile(args[0], []byte(text), 0o600) != nil {
			return 1
		}
	case "fail":
		fmt.Println("no \x1b[31mline" + strings.Repeat("x", 1<<20))
		return 3
	case "hang": // with a child that has our output
		child := exec.Command(os.Args[0], "play", "linger", args[0])
		child.Stdout = os.Stdout
		if child.Start() != nil || child.Wait() != nil {
			return 1
		}
	case "linger": // while it is not killed, a connection is open
		conn, err := net.Dial("tcp", args[0])
		if err != nil {
			return 1
		}
		io.Copy(io.Discard, conn)
	}
	return 0
}
