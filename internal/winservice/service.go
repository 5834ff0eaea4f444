// Package winservice makes authferry a service of Windows: it installs and removes
// the service, and runs it under the service control manager, with the event log
// and a log file that rotates. On other systems its functions return an error that
// says what to use instead.
package winservice

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Name is the name of the service, and of its source in the event log.
const Name = "authferry"

// firstConfig is the configuration file of a new service.
const firstConfig = `# The configuration of the authferry service. config.example.toml, which comes with
# authferry, lists every key with its default. Paths are relative to this directory.
# After a change: sc stop authferry, sc start authferry.
store = "file:state"

# The OAuth client: the file that Google's console offers for download.
#[provider.gmail]
#client_file = "client_secret.json"
`

// serviceSID returns the SID of the account NT SERVICE\name, which Windows creates
// for a service, with no other rights: S-1-5-80 and the SHA-1 of the name in
// capitals, as five numbers.
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

// serviceAccess returns the security descriptor of the service's directory: full
// access for the system and administrators, read and write access for the service,
// nothing inherited, because every user may read below %ProgramData%.
func serviceAccess(name string) string {
	return "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;" + serviceSID(name) + ")"
}
