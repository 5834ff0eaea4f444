package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/server"
)

var serviceActions = map[string]func(cmd *cobra.Command) error{
	"install": installService, "remove": removeService, "run": runService,
}

// asAdministrator is the hint to what only one of them may do.
const asAdministrator = "run it in a terminal opened by `Run as administrator`"

// eventID is of every event: EventCreate.exe, whose messages are borrowed, has
// those from 1 to 1000, and they all say just what they are given.
const eventID = 1

func installService(cmd *cobra.Command) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	file, err := serviceConfig(cmd)
	if err != nil {
		return err
	}
	m, err := mgr.Connect()
	if err != nil {
		return hint.New(fmt.Errorf("asking the service control manager: %w", err), asAdministrator)
	}
	defer m.Disconnect()
	s, err := m.CreateService(serviceName, program, mgr.Config{
		DisplayName: "authferry", Description: cmd.Root().Short,
		StartType: mgr.StartAutomatic, DelayedAutoStart: true, ErrorControl: mgr.ErrorNormal,
		ServiceStartName: `NT SERVICE\` + serviceName, SidType: windows.SERVICE_SID_TYPE_UNRESTRICTED,
	}, "service", "run", "--config", file)
	if errors.Is(err, windows.ERROR_SERVICE_EXISTS) {
		return hint.New(errors.New("the service is there already"), "`authferry service remove` unmakes it; configuration and mailboxes stay")
	}
	if err != nil {
		return hint.New(fmt.Errorf("making the service: %w", err), asAdministrator)
	}
	defer s.Close()
	if err := furnish(s, file); err != nil {
		return errors.Join(err, s.Delete())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "the service is made; fill in %s, then: sc start %s\n", file, serviceName)
	return nil
}

// serviceConfig is the configuration file of the service: that of --config, or
// the one in its own directory.
func serviceConfig(cmd *cobra.Command) (string, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil || file == "" {
		return filepath.Join(config.ProgramData(), "config.toml"), err
	}
	return filepath.Abs(file)
}

// furnish gives a new service what it needs beside itself.
func furnish(s *mgr.Service, file string) error {
	// After a crash, not after a wrong configuration: that would not mend it.
	restart := func(wait time.Duration) mgr.RecoveryAction {
		return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: wait}
	}
	actions := []mgr.RecoveryAction{restart(2 * time.Second), restart(10 * time.Second), restart(time.Minute)}
	if err := s.SetRecoveryActions(actions, uint32((24 * time.Hour).Seconds())); err != nil {
		return fmt.Errorf("having the service restarted after a crash: %w", err)
	}
	// One that is there is of a service that was removed by other means.
	if err := eventlog.Remove(serviceName); err != nil && !errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return fmt.Errorf("unmaking a former source of events: %w", err)
	}
	if err := eventlog.InstallAsEventCreate(serviceName, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil {
		return fmt.Errorf("making a source of events: %w", err)
	}
	if err := closeDirectory(config.ProgramData()); err != nil {
		return fmt.Errorf("making %s: %w", config.ProgramData(), err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, firstConfig)
	return errors.Join(err, f.Close())
}

// closeDirectory makes a directory, and opens it to whom serviceAccess says.
func closeDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	access, err := windows.SecurityDescriptorFromString(serviceAccess(serviceName))
	if err != nil {
		return err
	}
	list, _, err := access.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}

// stopTime bounds the wait for the end of a service that is being removed: some
// more than drain usually is.
const stopTime = 90 * time.Second

func removeService(cmd *cobra.Command) error {
	m, err := mgr.Connect()
	if err != nil {
		return hint.New(fmt.Errorf("asking the service control manager: %w", err), asAdministrator)
	}
	defer m.Disconnect()
	s, err := m.OpenService(serviceName)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return hint.New(errors.New("there is no such service"), "`authferry service install` makes it")
	}
	if err != nil {
		return hint.New(fmt.Errorf("opening the service: %w", err), asAdministrator)
	}
	defer s.Close()
	status, err := s.Control(svc.Stop)
	for begin := time.Now(); err == nil && status.State != svc.Stopped && time.Since(begin) < stopTime; {
		time.Sleep(300 * time.Millisecond)
		status, err = s.Query()
	}
	if err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return fmt.Errorf("stopping the service: %w", err)
	}
	if err := s.Delete(); err != nil {
		return fmt.Errorf("unmaking the service: %w", err)
	}
	if err := eventlog.Remove(serviceName); err != nil && !errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return fmt.Errorf("unmaking its source of events: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "the service is gone; %s stays\n", config.ProgramData())
	return nil
}

// fullLog is when the log file makes room for another.
const fullLog = 16 << 20

func runService(cmd *cobra.Command) error {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return hint.Usage(errors.New("this is no service"), "`sc start authferry` starts the service; `authferry serve` serves from a terminal")
	}
	events, err := eventlog.Open(serviceName)
	if err != nil {
		return err
	}
	defer events.Close()
	return svc.Run(serviceName, &managed{cmd, events})
}

// managed is authferry under the service control manager.
type managed struct {
	cmd    *cobra.Command
	events *eventlog.Log
}

// Execute serves until it is told to stop.
func (m *managed) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (ours bool, code uint32) {
	changes <- svc.Status{State: svc.StartPending}
	s, log, err := m.begin()
	if err != nil {
		m.events.Error(eventID, err.Error())
		return true, uint32(exitCode(err))
	}
	defer log.Close()
	signals := make(chan os.Signal, 2)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(signals) }()
	status := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptParamChange}
	changes <- status
	for {
		select {
		case request := <-requests:
			switch request.Cmd {
			case svc.Interrogate:
				changes <- status
			case svc.ParamChange:
				signals <- syscall.SIGHUP
			case svc.Stop, svc.Shutdown:
				drain := s.InForce().Drain + server.VaultClose
				status = svc.Status{State: svc.StopPending, WaitHint: uint32(drain.Milliseconds())}
				changes <- status
				signals <- syscall.SIGTERM
			}
		case err := <-ended:
			s.Log.Sync()
			if err == nil {
				return false, 0
			}
			m.events.Error(eventID, err.Error())
			if status.State == svc.Running {
				os.Exit(exitFailed) // as a crash, after which the manager starts it again
			}
			return true, uint32(exitCode(err))
		}
	}
}

// begin opens the log and starts the service.
func (m *managed) begin() (*server.Server, io.Closer, error) {
	c, err := configFor(m.cmd)
	if err != nil {
		return nil, nil, err
	}
	file, err := openLogFile(filepath.Join(filepath.Dir(c.File), "authferry.log"), fullLog)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	log, level := logging.New(c.Log, file)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	s, err := server.Start(c, log, level)
	if err != nil {
		log.Error("not started", zap.Error(err))
		return nil, nil, errors.Join(err, file.Close())
	}
	return s, file, nil
}
