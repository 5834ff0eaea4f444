package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/script/*.txt. They have the commands of testscript and:
//
//	gmail                     a simulated Gmail with demo@gmail.com, second@gmail.com and
//	                          info@gmail.com, which is shared and opened by demo's grant;
//	                          config.toml for it, and account.json, client.pem, client.key
//	connect MAILBOX           connects a mailbox, by paste
//	begin NAME ARGS...        runs authferry in the background
//	said NAME out|err TEXT    waits until it has written something, a regular expression
//	tell NAME TEXT            gives it a line of standard input
//	hush NAME                 closes its standard input
//	fault PROTOCOL FAULT      makes a mail service of the simulation fail as [demo.MailFault] lists;
//	                          fault token FAULT: its token endpoint, as [demo.TokenAnswer] lists;
//	                          fault scopes SCOPES: owners grant only these; fault delegation gone:
//	                          applications may open no mailbox
//	revoked MAILBOX           the owner revokes the grant at the simulation
//	visit NAME AS [deny]      opens the address it printed as a person does, and follows the
//	                          redirect; paste NAME AS gives it the redirected address instead
//	minted FILE               writes an answer of the token endpoint with a token for any mailbox
//	tokencalls GRANT N        checks that the token endpoint had N requests of this grant type
//	type NAME AS|deny         types the device code it printed as a person does, or declines
//	signal NAME HUP|TERM|INT|KILL
//	ended NAME CODE           waits for its end
//	login NAME PROTOCOL USER PASSWORD VERDICT   logs in to where it listens
//	hold NAME imap|smtp USER PASSWORD   logs in, and stays
//	held [ended]              checks that this session works, or that it ends
//	secure NAME PROTOCOL CA   checks that it has TLS with a certificate of that authority
//	reconfigure FROM TO       edits config.toml, by regular expression
//	taken NAME FILE           writes a configuration with the addresses that NAME listens on
//	old FORMAT FILE MAILBOX [PASSWORD]  writes the file of another program that signed in to a mailbox,
//	                          and sets $CLIENT_SECRET and $REFRESH_TOKEN
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			s := &stage{processes: map[string]*process{}}
			env.Values[stageKey{}] = s
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Defer(s.clear)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gmail":   onStage((*stage).cmdGmail),
			"connect": onStage((*stage).cmdConnect),
			"begin":   onStage((*stage).cmdBegin),
			"said":    onStage((*stage).cmdSaid),
			"tell":    onStage((*stage).cmdTell),
			"hush":    onStage((*stage).cmdHush),
			"fault":   onStage((*stage).cmdFault),
			"revoked": onStage((*stage).cmdRevoked),
			"visit":   onStage((*stage).cmdVisit),
			"paste":   onStage((*stage).cmdPaste),
			"type":    onStage((*stage).cmdType),

			"minted":     onStage((*stage).cmdMinted),
			"tokencalls": onStage((*stage).cmdTokenCalls),
			"signal":     onStage((*stage).cmdSignal),
			"ended":      onStage((*stage).cmdEnded),
			"login":      onStage((*stage).cmdLogin),
			"hold":       onStage((*stage).cmdHold),
			"held":       onStage((*stage).cmdHeld),
			"secure":     onStage((*stage).cmdSecure),
			"taken":      onStage((*stage).cmdTaken),
			"old":        onStage((*stage).cmdOld),

			"reconfigure": onStage((*stage).cmdReconfigure),
		},
	})
}
