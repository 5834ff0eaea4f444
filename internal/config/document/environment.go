package document

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"authferry/internal/hint"
)

// environmentPrefix begins the names of variables that configure: the path of a
// key follows in capitals, with _ for each character that is neither a letter
// nor a digit, as in AUTHFERRY_PROVIDER_GMAIL_CLIENT_ID.
const environmentPrefix = "AUTHFERRY_"

// InEnvironment is the name of the configuration file if there is none, and the
// location in complaints about a variable.
const InEnvironment = "the environment"

// notSettings are variables with the prefix that configure nothing: the
// location of the file, and those that a token_command receives (it may run
// authferry itself).
var notSettings = []string{"CONFIG", "MAILBOX", "PROVIDER"}

// serviceLink matches the variables that Kubernetes sets in every container of
// a namespace for a Service called authferry or authferry-imap: kubelet's
// envvars.go, and
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLink = regexp.MustCompile(`^(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// environment is the part of the configuration in variables. It takes
// precedence over the file. As in a document, asking for a key makes it known.
type environment map[string]*variable // by what is behind the prefix, folded

// variable is one of them. A value may be a secret: nothing prints it.
type variable struct {
	name  string // as it is set
	value EnvText
	asked bool

	read    bool    // the file that a _FILE names,
	content EnvText // into here
}

// EnvText is a value of any kind that came as text.
type EnvText string

// ReadEnvironment returns the variables that configure, from a list as
// os.Environ returns it.
func ReadEnvironment(variables []string) environment {
	env := environment{}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		key, ours := strings.CutPrefix(name, environmentPrefix)
		if key = fold(key); ours && key != "" && !slices.Contains(notSettings, key) {
			env[key] = &variable{name: name, value: EnvText(value)}
		}
	}
	return env
}

// ForgetEnvironment removes the variables that configure from the process.
func ForgetEnvironment() error {
	var errs []error
	for _, v := range ReadEnvironment(os.Environ()) {
		errs = append(errs, os.Unsetenv(v.name))
	}
	return errors.Join(errs...)
}

// Configures reports whether a person has set any of the variables.
func (e environment) Configures() bool {
	for key := range e {
		if !serviceLink.MatchString(key) {
			return true
		}
	}
	return false
}

// fold returns a path in the form of variable names.
func fold(path string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, strings.ReplaceAll(path, "].", "."))
}

// use makes a variable known that a value of the configuration names.
func (e environment) use(name string) {
	for _, v := range e {
		v.asked = v.asked || v.name == name
	}
}

// variableOf returns the variable that gives a key or an element of its list,
// or that would if there is no file. "" if there is none.
func (d *Document) variableOf(path string) string {
	element := ""
	if n := strings.LastIndexByte(path, '['); n >= 0 && strings.HasSuffix(path, "]") {
		path, element = path[:n], path[n:]
	}
	switch v, _ := d.Environment.find(path); {
	case v != nil:
		return v.name + element
	case d.File == InEnvironment:
		return environmentPrefix + fold(path) + element
	}
	return ""
}

// AsFile ends the names of variables that name a file with the value in it, the
// usual way to give secrets to containers.
const AsFile = "_FILE"

// BesideFile are the keys that have a counterpart with _file in the
// configuration file.
var BesideFile = []string{"client_secret", "webhook"}

// find returns the variable of a path, or the one that names a file for it.
func (e environment) find(path string) (v *variable, inFile bool) {
	if v := e[fold(path)]; v != nil {
		return v, false
	}
	key := path[strings.LastIndexByte(path, '.')+1:]
	if v := e[fold(path)+AsFile]; v != nil && !slices.Contains(BesideFile, key) {
		return v, true
	}
	return nil, false
}

// fromEnvironment returns the value of a key from its variable.
func (t *Table) fromEnvironment(key string, mayBeFile bool) (EnvText, bool) {
	v, inFile := t.doc.Environment.find(t.path + key)
	if v == nil || inFile && !mayBeFile {
		return "", false
	}
	v.asked = true
	if !inFile {
		return v.value, true
	}
	if !v.read {
		v.read = true
		content, err := os.ReadFile(string(v.value))
		if err != nil {
			t.Complain(key, err.Error(), "a name ending in _FILE names a file with the value in it")
		}
		v.content = EnvText(strings.TrimRight(string(content), "\r\n"))
	}
	return v.content, true
}

// pathFromEnvironment returns the value of a key that is a path. _FILE adds
// nothing here, since the value is the name of a file already. (Read as a file
// with the path in it, a private key would end up in an error.)
func (t *Table) pathFromEnvironment(key string) (string, bool) {
	v, _ := t.doc.Environment.find(t.path + key)
	if v == nil {
		return "", false
	}
	v.asked = true
	return string(v.value), true
}

// as converts a value to the kind of the key; false if it cannot.
func (g EnvText) as(kind any) (v any, ok bool) {
	text := strings.TrimSpace(string(g))
	var err error
	switch kind.(type) {
	case string:
		return string(g), true
	case bool:
		v, err = strconv.ParseBool(text)
	case int64:
		v, err = strconv.ParseInt(text, 10, 64)
	case []any:
		if strings.HasPrefix(text, "[") {
			return g.AsTOML()
		}
		list := []any{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v = list
	default:
		return g.AsTOML()
	}
	if err != nil {
		return nil, false
	}
	return v, true
}

// AsTOML reads a value in the syntax of the file, for tables and for lists of
// more than words. An error would repeat the source.
func (g EnvText) AsTOML() (any, bool) {
	var doc map[string]any
	if _, err := toml.Decode("value = "+string(g), &doc); err != nil || len(doc) != 1 {
		return nil, false
	}
	return doc["value"], true
}

// EnvironmentDone complains about variables that were not asked for, and about
// values that are given twice.
func (d *Document) EnvironmentDone() {
	var known []string
	for path := range d.asked {
		known = append(known, strings.ToLower(fold(path)))
	}
	slices.Sort(known)
	for _, key := range slices.Sorted(maps.Keys(d.Environment)) {
		v := d.Environment[key]
		c := Complaint{file: InEnvironment, key: v.name}
		name, isFile := strings.CutSuffix(key, AsFile)
		switch other := d.Environment[name]; {
		case isFile && other != nil && other.asked && !v.asked:
			c.what, c.hint = "gives a second time what "+other.name+" gives", "keep one of the two"
		case v.asked || serviceLink.MatchString(key):
			continue
		default:
			c.what, c.hint = "unknown variable", "config.example.toml has every key, and says how variables are made of them"
			if n := hint.Suggest(name, known); n != "" {
				c.hint = fmt.Sprintf("did you mean %s?", environmentPrefix+strings.ToUpper(n))
			}
		}
		d.complaints = append(d.complaints, c)
	}
}

// addTables adds the tables that only the environment has.
func (t *Table) addTables(known []string) {
	known = append(t.Keys(), known...)
	t.addNames(func(rest string) (string, any) {
		best := ""
		for _, name := range known {
			if strings.HasPrefix(fold(rest), fold(name)+"_") && len(name) > len(best) {
				best = name
			}
		}
		if name, _, ok := strings.Cut(rest, "_"); best == "" && ok {
			best = strings.ToLower(name) // a new one has no _ in it
		}
		return best, map[string]any{}
	})
}

// addTexts adds the texts that only the environment has.
func (t *Table) addTexts() {
	t.addNames(func(rest string) (string, any) {
		name := strings.ToLower(strings.TrimSuffix(rest, AsFile))
		for _, known := range t.Keys() {
			if fold(known) == fold(name) {
				return known, nil
			}
		}
		return name, EnvText("")
	})
}

func (t *Table) addNames(name func(rest string) (string, any)) {
	if t.values == nil {
		t.values = map[string]any{}
	}
	prefix := fold(t.path)
	for key, v := range t.doc.Environment {
		if !strings.HasPrefix(key, prefix) || len(key) == len(prefix) {
			continue
		}
		n, value := name(v.name[len(environmentPrefix)+len(prefix):])
		if _, there := t.values[n]; !there && n != "" {
			t.values[n] = value
		}
	}
}

// mostListed bounds the number in the name of a variable.
const mostListed = 100

// listedInEnvironment returns how many tables of a list the variables refer to,
// such as AUTHFERRY_LISTENER_0_URL.
func (t *Table) listedInEnvironment(key string) (n int) {
	prefix := fold(t.path+key) + "_"
	for name := range t.doc.Environment {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			number, _, _ := strings.Cut(rest, "_")
			if i, err := strconv.Atoi(number); err == nil && i < mostListed {
				n = max(n, i+1)
			}
		}
	}
	return n
}
