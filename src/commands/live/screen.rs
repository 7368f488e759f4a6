//! The terminal of the live view: set up, updated in place, and restored in every case, including panics.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::commands::live::viewport::Scroll;

/// How often the stop flag and the size of the terminal are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What the live view has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UiEvent {
    Quit,
    Scroll(Scroll),
    /// Show or hide CPU and memory.
    ToggleUsage,
    /// The size or the content of the terminal changed.
    Redraw,
    /// The deadline was reached.
    Collect,
}

/// The terminal in raw mode with the alternate screen. Dropping it restores the terminal.
#[derive(Debug)]
pub struct Screen {
    is_stopping: Arc<AtomicBool>,
}

impl Screen {
    /// Sets up the terminal. When `is_stopping` becomes true, [`Self::wait`] returns [`UiEvent::Quit`].
    ///
    /// # Errors
    /// If standard input or output is not a terminal.
    pub fn enter(is_stopping: Arc<AtomicBool>) -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::other("--watch requires a terminal; omit it to print the tree once"));
        }
        restore_on_panic();
        let screen = Self { is_stopping };
        screen.set_up()?;
        Ok(screen)
    }

    fn set_up(&self) -> io::Result<()> {
        IS_SET_UP.store(true, Ordering::Relaxed);
        enable_raw_mode()?;
        // Terminals disagree on the width of some characters. Without wrapping, lines keep their position.
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, cursor::Hide)
    }

    /// The size of the terminal in columns and lines.
    ///
    /// # Errors
    /// If the terminal was closed.
    pub fn size() -> io::Result<(usize, usize)> {
        let (columns, lines) = crossterm::terminal::size()?;
        // Serial consoles report 0.
        let (columns, lines) = if columns == 0 || lines == 0 { (80, 24) } else { (columns, lines) };
        Ok((usize::from(columns), usize::from(lines)))
    }

    /// Replaces the content of the screen with as many of the lines as fit, in one update without flicker.
    ///
    /// # Errors
    /// If the terminal was closed.
    pub fn show(&self, lines: &[String]) -> io::Result<()> {
        let (_, height) = Self::size()?;
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        for number in 0..height {
            // Clear first: after a line that fills the width, clearing would erase its last character.
            queue!(out, cursor::MoveTo(0, number as u16), Clear(ClearType::CurrentLine))?;
            if let Some(line) = lines.get(number) {
                out.write_all(line.as_bytes())?;
            }
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// Waits for a key press or a change of the size, at most until `deadline`.
    ///
    /// # Errors
    /// If the terminal was closed.
    pub fn wait(&self, deadline: Instant) -> io::Result<UiEvent> {
        let size = Self::size()?;
        loop {
            if self.is_stopping.load(Ordering::Relaxed) {
                return Ok(UiEvent::Quit);
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Ok(UiEvent::Collect);
            }
            if wait_for_input_or_hangup(remaining.min(POLL_INTERVAL))? {
                return Ok(UiEvent::Quit);
            }
            // A previous read may have buffered more events, so check for them even without new input.
            while event::poll(Duration::ZERO)? {
                let Event::Key(key) = event::read()? else { return Ok(UiEvent::Redraw) };
                if is_control(key, 'z') {
                    self.suspend()?;
                    return Ok(UiEvent::Redraw);
                }
                if let Some(event) = event_of(key) {
                    return Ok(event);
                }
            }
            if Self::size()? != size {
                return Ok(UiEvent::Redraw);
            }
        }
    }

    /// Stops the process for job control and restores the terminal for the shell until it continues.
    fn suspend(&self) -> io::Result<()> {
        restore();
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
        self.set_up()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Waits for input for at most `timeout`. Returns whether the terminal was closed. Call this before reading events:
/// reading them from a closed terminal never ends.
fn wait_for_input_or_hangup(timeout: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(_) => Ok(polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

static IS_SET_UP: AtomicBool = AtomicBool::new(false);

/// Restores the terminal, if it is set up. Errors are ignored: the terminal may have been closed.
fn restore() {
    if !IS_SET_UP.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = execute!(io::stdout(), cursor::Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// Restores the terminal before a panic message is printed, so that the message stays visible.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print_panic = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            print_panic(panic);
        }));
    });
}

fn is_control(key: KeyEvent, letter: char) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char(letter)
}

/// Arrow and page keys, and letters as in `less` and `vi`.
fn event_of(key: KeyEvent) -> Option<UiEvent> {
    if is_control(key, 'c') {
        return Some(UiEvent::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => UiEvent::Quit,
        KeyCode::Char('u') => UiEvent::ToggleUsage,
        KeyCode::Up | KeyCode::Char('k') => UiEvent::Scroll(Scroll::Up),
        KeyCode::Down | KeyCode::Char('j') => UiEvent::Scroll(Scroll::Down),
        KeyCode::PageUp | KeyCode::Char('b') => UiEvent::Scroll(Scroll::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ' | 'f') => UiEvent::Scroll(Scroll::PageDown),
        KeyCode::Home | KeyCode::Char('g') => UiEvent::Scroll(Scroll::Top),
        KeyCode::End | KeyCode::Char('G') => UiEvent::Scroll(Scroll::Bottom),
        _ => return None,
    })
}
