package main

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/spf13/cobra"
)

// serviceName is authferry's in Windows' service control manager and event log.
const serviceName = "authferry"

func serviceCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:    "service",
		Short:  "Be a service of Windows",
		Hidden: runtime.GOOS != "windows", // but it says what to do instead
		Long: `Put authferry under Windows' service control manager, which starts it with the
machine, and again should it crash. Its configuration is config.toml in
%ProgramData%\authferry and its log authferry.log beside it; what keeps it from
starting is in the event log, too.

Stopping the service lets sessions end by themselves for the drain time of the
configuration. On other systems see the packages.`,
	})
	for _, sub := range []struct{ use, short, long string }{
		{"install", "Make the service, to be started with Windows",
			`Make the service, to be started with Windows. Its directory is made with a
configuration to fill in, closed to everybody but administrators and the service.
Run it as an administrator, from where authferry.exe is to stay.`},
		{"remove", "Stop the service and unmake it",
			`Stop the service and unmake it. Configuration and mailboxes stay.`},
		{"run", "Serve under the service control manager",
			`Serve under the service control manager, which is who starts this.`},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: sub.use, Short: sub.short, Long: sub.long,
			Example: "  authferry service " + sub.use,
			Args:    takes(),
			RunE:    func(cmd *cobra.Command, _ []string) error { return serviceActions[sub.use](cmd) },
		})
	}
	return cmd
}

// firstConfig is the configuration of a new service.
const firstConfig = `# The configuration of the authferry service. config.example.toml, which comes with
# authferry, has every key with its default. Relative paths begin here.
# After a change: sc stop authferry, sc start authferry.
store = "file:state"

# The OAuth client, as Google's console offers it for download.
#[provider.gmail]
#client_file = "client_secret.json"
`

// serviceSID is the account NT SERVICE\name, which Windows makes up for a service
// so that it need not run as anybody who can do more: S-1-5-80 and the SHA-1 of
// the name in capitals, as five numbers.
func serviceSID(name string) string {
	var utf16le []byte
	for _, unit := range utf16.Encode([]rune(strings.ToUpper(name))) {
		utf16le = binary.LittleEndian.AppendUint16(utf16le, unit)
	}
	hash := sha1.Sum(utf16le)
	sid := "S-1-5-80"
	for i := 0; i < len(hash); i += 4 {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(hash[i:]))
	}
	return sid
}

// serviceAccess closes the service's directory, as a security descriptor: full
// access for the system and administrators, reading and writing for the service,
// nothing inherited, since everybody may read below %ProgramData%.
func serviceAccess(name string) string {
	return "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;" + serviceSID(name) + ")"
}

// logFile is a log that does not grow for ever: when it is full it becomes NAME.1,
// in place of the one before. Windows has nobody else to do that.
type logFile struct {
	path string
	full int64

	mu   sync.Mutex
	file *os.File
	size int64
}

func openLogFile(path string, full int64) (*logFile, error) {
	l := &logFile{path: path, full: full}
	return l, l.open()
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write writes a line. One that does not fit is written all the same if the file
// cannot be changed for a new one: a viewer that has it open can prevent that.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(line)) > l.full {
		if err := l.turn(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

func (l *logFile) turn() error {
	if err := l.file.Close(); err != nil { // Windows renames no open files
		return err
	}
	kept := os.Rename(l.path, l.path+".1")
	if err := l.open(); err != nil {
		return err
	}
	if kept != nil {
		l.size = 0 // not at each line again
	}
	return nil
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
