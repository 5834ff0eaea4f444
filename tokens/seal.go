package tokens

// Seal encrypts accounts at rest.
type Seal struct{}

// LoadSeal reads the key named by spec: "file:PATH", "env:NAME",
// "credential:NAME" (systemd), or "" for a key kept in stateDir, which is made
// there on first use.
func LoadSeal(spec, stateDir string) (*Seal, error) { panic("unwritten") }
