//! The server that is attacked: it prints its address and serves until it is killed, or until its
//! standard input ends.

use std::{error::Error, io::Write as _};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let server = purlin_serve::Server::new();
    // Whoever started it is gone when the pipe is closed: nobody leaves it behind.
    let gone = async {
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    };
    server.serve(listener, purlin_hostile::both(), gone).await;
    Ok(())
}
