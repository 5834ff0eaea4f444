package web

// Setting is a key of the configuration as it is in force.
type Setting struct {
	Key    string // with the tables around it, as the file would have it
	Value  string // never a secret
	Line   int    // of the file; 0: the default
	Secret bool   // there is one, and Value does not say it
}
