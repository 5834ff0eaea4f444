package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"authferry/internal/config/document"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// readClient reads the OAuth client, spelled out or in the file that Google's
// console offers for download.
func readClient(t *document.Table, p *oauth.Provider) {
	if path := t.File("client_file"); path != "" {
		if t.Text("client_id", "")+t.Text("client_secret", "")+t.Text("client_secret_file", "") != "" {
			t.Complain("client_file", "names the client a second time", "keep client_file, or client_id and client_secret")
		}
		if err := readClientFile(path, p); errors.Is(err, errServiceAccountFile) {
			t.Complain("client_file", err.Error(), "name it in service_account_file instead")
		} else if err != nil {
			t.Complain("client_file", err.Error(), "expected the JSON that Google's console offers as client_secret_....json")
		}
	}
	if id := t.Text("client_id", ""); id != "" {
		if id != p.ClientID {
			p.ClientSecret, p.Certificate, p.LoopbackOnly = "", nil, false // of the client that another table has
		}
		p.ClientID = id
	}
	given := secret.String(t.Text("client_secret", ""))
	if !given.Empty() {
		p.ClientSecret = given
	}
	if path := t.File("client_secret_file"); path != "" {
		if !given.Empty() {
			t.Complain("client_secret_file", "names the secret a second time", "keep one of client_secret and client_secret_file")
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Complain("client_secret_file", err.Error(), "")
		}
		p.ClientSecret = secret.String(strings.TrimRight(string(content), "\r\n"))
	}
	if t.Gives("client_secret") || t.Gives("client_secret_file") || t.Gives("client_file") {
		p.Certificate = nil // what another table proves itself by
	}
}

var errServiceAccountFile = errors.New("holds the key of a service account, not an OAuth client")

// readClientFile takes a client from Google's client_secret_*.json, as it is.
func readClientFile(path string, p *oauth.Provider) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := ParseClientFile(content, p); err != nil {
		return fmt.Errorf("%s %w", path, err)
	}
	return nil
}

// ParseClientFile is readClientFile of what is in the file. Its errors repeat
// nothing of it.
func ParseClientFile(content []byte, p *oauth.Provider) error {
	type client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Auth   string `json:"auth_uri"`
		Token  string `json:"token_uri"`
	}
	var file struct {
		Type           string
		Installed, Web *client
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return errors.New("is not JSON") // err may quote the content
	}
	if file.Type == "service_account" {
		return errServiceAccountFile
	}
	c := file.Installed
	if c == nil {
		c = file.Web
	}
	if c == nil || c.ID == "" {
		return errors.New("has no OAuth client in it")
	}
	p.ClientID, p.ClientSecret = c.ID, secret.String(c.Secret)
	p.LoopbackOnly = file.Installed != nil
	if p.AuthURL == "" && p.TokenURL == "" { // what is known of gmail is newer than such files
		p.AuthURL, p.TokenURL = c.Auth, c.Token
	}
	return nil
}

// readProof reads what proves, without a person, who is asking for a token: a
// service account's key, a client's certificate, or a program.
func readProof(t *document.Table, p *oauth.Provider) {
	readServiceAccount(t, p)
	readCertificate(t, p)
	readTokenCommand(t, p)
}

func readServiceAccount(t *document.Table, p *oauth.Provider) {
	const key = "service_account_file"
	path := t.File(key)
	if path == "" {
		return
	}
	content, ok := readKeyFile(t, key, path)
	if !ok {
		return
	}
	account, err := oauth.LoadServiceAccount(content)
	if err != nil {
		hint := "expected the JSON that Google's console offers when a key is added to a service account"
		if readClientFile(path, &oauth.Provider{}) == nil {
			hint = "it holds an OAuth client: name it in client_file instead"
		}
		t.Complain(key, fmt.Sprintf("%s: %v", path, err), hint)
		return
	}
	p.ServiceAccount = account
}

// readCertificate reads the certificate that stands in for a client's secret.
func readCertificate(t *document.Table, p *oauth.Provider) {
	cert, key := t.File("certificate_file"), t.File("certificate_key_file")
	switch {
	case cert == "" && key == "":
		return
	case cert == "":
		t.Complain("certificate_key_file", "a key without its certificate", "name the certificate in certificate_file")
		return
	case key == "":
		t.Complain("certificate_file", "a certificate without its key", "name the key in certificate_key_file, the same file if it holds both")
		return
	case !p.ClientSecret.Empty() && (t.Gives("client_secret") || t.Gives("client_secret_file") || t.Gives("client_file")):
		t.Complain("certificate_file", "proves the client a second time", "keep the certificate, or the secret")
		return
	}
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		t.Complain("certificate_file", err.Error(), "")
	}
	keyPEM, ok := readKeyFile(t, "certificate_key_file", key)
	if err != nil || !ok {
		return
	}
	loaded, err := oauth.LoadClientCertificate(certPEM, keyPEM)
	if err != nil {
		t.Complain("certificate_file", fmt.Sprintf("%s with the key %s: %v", cert, key, err), "")
		return
	}
	p.Certificate, p.ClientSecret = loaded, ""
}

// readKeyFile reads a private key, and warns if it is not private.
func readKeyFile(t *document.Table, key, path string) (content []byte, ok bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Complain(key, err.Error(), "")
		return nil, false
	}
	if readableByOthers(path) {
		t.Warn(
			fmt.Sprintf("%s holds a private key and every user of this machine can read it; chmod 0640 it", path))
	}
	return content, true
}

// readTokenCommand reads a program and its arguments. It is looked up the way
// it will be run, but for a relative path, which is relative to the file.
func readTokenCommand(t *document.Table, p *oauth.Provider) {
	const key = "token_command"
	command := t.Texts(key)
	if len(command) == 0 {
		return
	}
	if command[0] == "" {
		t.Complain(key, "names no program", `such as ["/usr/local/bin/mail-token", "--quiet"]`)
		return
	}
	if strings.ContainsAny(command[0], `/\`) {
		command[0] = t.Resolve(command[0])
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		hint := "name it by its whole path"
		if strings.ContainsAny(command[0], " \t") && len(command) == 1 {
			hint = `there is no shell between: write each argument as a text of its own, such as ["pass", "show", "mail"]`
		}
		t.ComplainAt(key, 0, "there is no such program, or it may not be run", hint)
	}
	p.TokenCommand = command
}
